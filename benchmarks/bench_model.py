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
from mobilesam.scenes import generate_scene
from mobilesam.weights.checkpoint import find_checkpoint

PEERS = {"mobilesam-mirror": "1.0.0", "ultralytics": "8.4.190"}
# Both import these, and mobilesam-mirror does not say so; torchvision's belongs to torch's version.
BESIDE_PEERS = ("timm==1.0.31", "torchvision==0.29.2")
OURS = [("openvino", "auto"), ("openvino", "float32"), ("torch", "float32")]
DECODES_PER_TURN = 5

Run = Callable[[str], float]  # "encode" or "decode" -> milliseconds


def ours(predictor: Predictor, image: NDArray[np.uint8]) -> Run:
    """Time a predictor of this project; a GPU has done its work when the clock is read."""
    embedding = predictor.embed(image)
    point = [[image.shape[1] / 2, image.shape[0] / 2]]
    actions: dict[str, Callable[[], object]] = {
        "encode": lambda: predictor.embed(image),
        "decode": lambda: (
            predictor.predict_object(embedding, points_xy=point, point_labels=[1]).masks
        ),
    }
    is_gpu = predictor.device.type == "cuda"

    def run(action: str) -> float:
        if is_gpu:
            torch.cuda.synchronize(predictor.device)
        started = time.perf_counter()
        actions[action]()
        if is_gpu:
            torch.cuda.synchronize(predictor.device)
        return 1000 * (time.perf_counter() - started)

    return run


def batched(predictor: Predictor, image: NDArray[np.uint8], turns: int) -> list[float]:
    """Time full batches; milliseconds an image."""
    images = [image] * predictor.batch_size
    times_ms = []
    for turn in range(turns + 1):
        torch.cuda.synchronize(predictor.device)
        started = time.perf_counter()
        predictor.embed_batch(images)
        torch.cuda.synchronize(predictor.device)
        if turn:  # the first one warms up
            times_ms.append(1000 * (time.perf_counter() - started) / len(images))
    return times_ms


def describe_gpu() -> str:
    """Name the GPU, its driver and the CUDA that torch was built for."""
    asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        driver = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        driver = "unknown"
    return f"{torch.cuda.get_device_name()}, driver {driver}, CUDA {torch.version.cuda}"


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
            [python, "-m", "pip", "install", "--quiet", f"{name}=={PEERS[name]}", *BESIDE_PEERS],
            check=True,
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
            digits = 0 if median >= 10 else 2
            cells += [
                f"{median:.{digits}f} / {p95:.{digits}f}",
                f"{np.median(first[action]) / median:.1f} x",
            ]
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
        batches_ms: dict[str, list[float]] = {}
        for name, version in {} if options.no_peers else PEERS.items():
            weights = find_checkpoint(options.checkpoint)
            started = stack.enter_context(peer(name, weights, CACHE / "image.npy"))
            contestants[f"{name} {version}"] = started
        for runtime, precision, device in choices:
            predictor = Predictor(options.checkpoint, device, runtime=runtime, precision=precision)
            label = f"ours, {runtime} {predictor.precision}, {predictor.device}"
            contestants[label] = ours(predictor, image)
            if predictor.batch_size > 1:
                name = f"{label}, {predictor.batch_size} images at once"
                batches_ms[name] = batched(predictor, image, options.turns)
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
    if torch.cuda.is_available():
        print(f"\n{describe_gpu()}")
    for name, batch_ms in batches_ms.items():
        median, p95 = np.percentile(batch_ms, [50, 95])
        rate = 1000 / median
        print(f"{name}: {median:.2f} / {p95:.2f} ms an image, {rate:.0f} images/s")


if __name__ == "__main__":
    main()
