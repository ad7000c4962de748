"""Many annotators on many images at once, over HTTP, with every answer checked.

Starts the service and an image host on 127.0.0.1. Each annotator has an image of their own and
clicks its objects; every mask is compared with the one that the same model gives alone. Prints how
many clicks failed, how many masks were wrong, clicks per second, and the time of first and warm
clicks (median and 95th percentile).
"""

import argparse
import io
import os
import platform
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import requests
import torch
from numpy.typing import NDArray
from PIL import Image

from backend import projects
from backend.brush import decode_brush
from backend.child_process import ChildProcess, free_port
from mobilesam import Predictor
from mobilesam.prompt_sampling import central_point, intersection_over_union
from mobilesam.scenes import Scene, generate_scene

START_TIMEOUT_S = 120
FIRST_PORT = 19090
HEALTH_INTERVAL_S = 0.05
RIGHT_IOU = 0.99  # with the mask that the model gives alone; threads may round differently
FIRST_SEED = 20_000_000


@dataclass
class Click:
    """One answered click: how long it took, and what was wrong with it, if anything was."""

    is_first: bool
    seconds: float
    fault: str = ""


@dataclass(frozen=True)
class Task:
    """An image with the points to click and the masks to expect there."""

    number: int
    scene: Scene
    points_xy: list[tuple[float, float]]
    expected: list[NDArray[np.bool_]]


def make_tasks(predictor: Predictor, count: int, size_hw: tuple[int, int]) -> list[Task]:
    """Paint scenes and ask the model for their masks, one after the other."""
    tasks = []
    for number in range(count):
        scene = generate_scene(FIRST_SEED + number, size_hw)
        embedding = predictor.embed(scene.image)
        points = [central_point(mask) for mask in scene.masks]
        expected = [
            predictor.predict_object(embedding, points_xy=[point], point_labels=[1]).masks[0]
            for point in points
        ]
        tasks.append(Task(number, scene, points, expected))
    return tasks


@contextmanager
def image_host(
    tasks: list[Task],
    asked: threading.Event | None = None,
    answer_now: threading.Event | None = None,
) -> Iterator[str]:
    """Serve the scenes as PNG files and give the address in front of `/<number>.png`.

    Args:
        tasks: whose scenes they are.
        asked: set when a file is asked for.
        answer_now: waited for before any answer.
    """
    files = {}
    for task in tasks:
        buffer = io.BytesIO()
        Image.fromarray(task.scene.image).save(buffer, "PNG")
        files[f"/{task.number}.png"] = buffer.getvalue()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if asked and answer_now:
                asked.set()
                answer_now.wait()
            content = files[self.path]
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def service(checkpoint: str, log: Path) -> tuple[ChildProcess, str]:
    """Return `python -m backend serve` on a free port, to be started, and its address."""
    port = free_port(FIRST_PORT)
    backend = ChildProcess(
        "The service",
        [sys.executable, "-m", "backend", "serve"],
        environment=os.environ | {"PORT": str(port), "MOBILESAM_CHECKPOINT": checkpoint},
        log=log,
    )
    return backend, f"http://127.0.0.1:{port}"


def click(url: str, images: str, task: Task, index: int, *, is_first: bool) -> Click:
    """Send one click as Label Studio does, and check its answer."""
    height, width = task.scene.image.shape[:2]
    region = projects.key_point(task.points_xy[index], (height, width))
    body = {
        "tasks": [{"id": task.number, "data": {"image": f"{images}/{task.number}.png"}}],
        "project": "1.0",
        "label_config": projects.LABELING_CONFIG,
        "params": {"context": {"result": [region]}},
    }
    started = time.perf_counter()
    response = requests.post(f"{url}/predict", json=body, timeout=120)
    found = Click(is_first, time.perf_counter() - started)
    if response.status_code != 200:
        found.fault = f"failed: {response.status_code} {response.reason}"
        return found
    regions = response.json()["results"][0]["result"]
    mask = np.zeros((height, width), bool)
    for answered in regions:
        mask |= decode_brush(answered["value"]["rle"], height, width)
    if intersection_over_union(mask, task.expected[index]) < RIGHT_IOU:
        found.fault = "wrong mask"
    return found


def annotate(url: str, images: str, task: Task, clicks: int) -> list[Click]:
    """Click a task's objects in turn, as one annotator does."""
    return [
        click(url, images, task, number % len(task.points_xy), is_first=number == 0)
        for number in range(clicks)
    ]


def load(
    url: str, images: str, tasks: list[Task], clicks: int
) -> tuple[list[Click], list[float], float]:
    """Let one annotator work on each task, all at once.

    Returns:
        All clicks, the seconds of each /health meanwhile, and the seconds that all took.
    """
    with health_watch(url) as health, ThreadPoolExecutor(len(tasks)) as annotators:
        started = time.perf_counter()
        runs = [annotators.submit(annotate, url, images, task, clicks) for task in tasks]
        answered = [click for run in runs for click in run.result()]
        return answered, health, time.perf_counter() - started


@contextmanager
def health_watch(url: str) -> Iterator[list[float]]:
    """Ask for /health all the while and collect the seconds that each answer took."""
    taken: list[float] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(HEALTH_INTERVAL_S):
            started = time.perf_counter()
            requests.get(f"{url}/health", timeout=30).raise_for_status()
            taken.append(time.perf_counter() - started)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield taken
    finally:
        stop.set()
        thread.join()


def summary(seconds: list[float]) -> str:
    """Return median and 95th percentile of durations, in milliseconds."""
    if not seconds:
        return "-"
    median, p95 = np.percentile(1000 * np.array(seconds), [50, 95])
    return f"median {median:6.0f} ms   p95 {p95:6.0f} ms   n {len(seconds)}"


def main(arguments: list[str] | None = None) -> int:
    """Run the load and print the table; the exit status is 1 if any answer was not right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--annotators", type=int, default=8)
    parser.add_argument("--clicks", type=int, default=20, help="of each annotator")
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--height", type=int, default=768)
    parser.add_argument("--checkpoint", default="demo", help="official, demo or a .pt file")
    parser.add_argument("--log", type=Path, default=Path("runs/bench_service.log"))
    options = parser.parse_args(arguments)
    options.log.parent.mkdir(parents=True, exist_ok=True)

    predictor = Predictor(options.checkpoint)
    tasks = make_tasks(predictor, options.annotators, (options.height, options.width))
    backend, url = service(options.checkpoint, options.log)
    with image_host(tasks) as images, backend:
        backend.wait_until_healthy(f"{url}/health", timeout_s=START_TIMEOUT_S)
        clicks, health, elapsed = load(url, images, tasks, options.clicks)

    wrong = [click.fault for click in clicks if click.fault == "wrong mask"]
    failed = [click.fault for click in clicks if click.fault.startswith("failed")]
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, ",
        end="",
    )
    print(f"torch {torch.__version__}, {predictor.model_id} on {predictor.device}")
    print(f"{options.annotators} annotators, {options.clicks} clicks each, ", end="")
    print(f"images of {options.width} x {options.height} PNG")
    print(f"failed         {len(failed)} of {len(clicks)} {sorted(set(failed)) if failed else ''}")
    print(f"wrong masks    {len(wrong)} of {len(clicks)}")
    print(f"clicks         {len(clicks) / elapsed:.1f} per second")
    print(f"first click    {summary([c.seconds for c in clicks if c.is_first])}")
    print(f"warm click     {summary([c.seconds for c in clicks if not c.is_first])}")
    print(f"/health        {summary(health)}   longest {1000 * max(health, default=0):.0f} ms")
    return 1 if wrong or failed else 0


if __name__ == "__main__":
    sys.exit(main())
