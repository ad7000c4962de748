"""Encode and decode per runtime and precision, beside the official code and ultralytics.

`python -m benchmarks.bench_model`. All have the same weights (fixed random ones of the official
sizes) and the same image. Encode is from (H, W, 3) uint8 pixels to an embedding, decode from one
click to a mask at full size. The peers come from the registry, run in processes and environments of
their own (made under .cache/ when missing; they share this environment's torch), and all take
turns, so that other load meets all of them.
"""

import argparse
import os
import subprocess
import sysconfig
import time
import venv
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.machine import describe_machine
from benchmarks.weights import CACHE, add_checkpoint
from mobilesam import Predictor
from mobilesam.checkpoint import find_checkpoint
from mobilesam.scenes import generate_scene

PEERS = {"mobilesam-mirror": "1.0.0", "ultralytics": "8.4.190"}
OURS = [("openvino", "auto"), ("openvino", "float32"), ("torch", "float32")]
DECODES_PER_TURN = 5

Run = Callable[[str], float]  # "encode" or "decode" -> milliseconds


def ours(predictor: Predictor, image: NDArray[np.uint8]) -> Run:
    """Time a predictor of this project."""
    embedding = predictor.embed(image)
    point = [[image.shape[1] / 2, image.shape[0] / 2]]
    actions: dict[str, Callable[[], object]] = {
        "encode": lambda: predictor.embed(image),
        "decode": lambda: (
            predictor.predict_object(embedding, points_xy=point, point_labels=[1]).masks
        ),
    }

    def run(action: str) -> float:
        started = time.perf_counter()
        actions[action]()
        return 1000 * (time.perf_counter() - started)

    return run


def peer_python(name: str) -> Path:
    """Return the Python of a peer's environment, which is made if it is not there."""
    folder = CACHE / name
    done = folder / f"installed-{PEERS[name]}"
    python = folder / "bin" / "python"
    if not done.exists():
        venv.create(folder, with_pip=True, clear=True)
        packages = folder / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"
        (packages / "torch_of_this_project.pth").write_text(sysconfig.get_paths()["purelib"])
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", f"{name}=={PEERS[name]}"], check=True
        )
        done.touch()
    return python


@contextmanager
def peer(name: str, weights: Path, image: Path) -> Iterator[Run]:
    """Start a peer and give what times it."""
    command = [peer_python(name), Path(__file__).with_name("model_peer.py"), name, weights, image]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        asked, answers = process.stdin, process.stdout
        if answers.readline() != "ready\n":
            raise RuntimeError(f"{name} did not start, see above")

        def run(action: str) -> float:
            print(action, file=asked, flush=True)
            return float(answers.readline())

        try:
            yield run
        finally:
            asked.close()  # it ends at the end of its input


def print_conditions(size_hw: tuple[int, int], turns: int) -> None:
    """Print what the numbers depend on."""
    print(describe_machine("torch", "openvino"))
    print(
        f"image {size_hw[1]} x {size_hw[0]}; milliseconds: median / 95th percentile of {turns} ",
        end="",
    )
    print(f"encodes and {turns * DECODES_PER_TURN} decodes, after one that warms up")
    print(f"load average {os.getloadavg()[0]:.1f}, this benchmark's own work included\n")


def print_table(times_ms: dict[str, dict[str, list[float]]]) -> None:
    """Print a row for each contestant, with its speed as a multiple of the first one's."""
    print("| | encode | faster | decode | faster |\n| --- | --- | --- | --- | --- |")
    first = next(iter(times_ms.values()))
    for name, times in times_ms.items():
        cells = [name]
        for action in ("encode", "decode"):
            median, p95 = np.percentile(times[action], [50, 95])
            cells += [f"{median:.0f} / {p95:.0f}", f"{np.median(first[action]) / median:.1f} x"]
        print(f"| {' | '.join(cells)} |")


def main() -> None:
    """Let all take turns and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--width", type=int, default=1600)
    parser.add_argument("--height", type=int, default=1200)
    add_checkpoint(parser)
    parser.add_argument(
        "--no-peers",
        action="store_true",
        help="only this project's runtimes; needed for demo, which the peers cannot load",
    )
    options = parser.parse_args()

    size_hw = (options.height, options.width)
    CACHE.mkdir(parents=True, exist_ok=True)
    image = generate_scene(1, size_hw).image
    np.save(CACHE / "image.npy", image)
    choices = [(*choice, "cpu") for choice in OURS]
    if torch.cuda.is_available():
        choices += [("torch", "auto", "cuda"), ("torch", "float32", "cuda")]
    with ExitStack() as stack:
        contestants: dict[str, Run] = {}
        for name, version in {} if options.no_peers else PEERS.items():
            weights = find_checkpoint(options.checkpoint)
            started = stack.enter_context(peer(name, weights, CACHE / "image.npy"))
            contestants[f"{name} {version}"] = started
        for runtime, precision, device in choices:
            predictor = Predictor(options.checkpoint, device, runtime=runtime, precision=precision)
            label = f"ours, {runtime} {predictor.precision}, {predictor.device}"
            contestants[label] = ours(predictor, image)
        times_ms = {name: {"encode": [], "decode": []} for name in contestants}
        for run in contestants.values():
            run("encode")
            run("decode")
        for _ in range(options.turns):
            for name, run in contestants.items():
                times_ms[name]["encode"].append(run("encode"))
                times_ms[name]["decode"] += [run("decode") for _ in range(DECODES_PER_TURN)]
    print_conditions(size_hw, options.turns)
    print_table(times_ms)


if __name__ == "__main__":
    main()
