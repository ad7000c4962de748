"""Annotators for the benchmarks and tests of the service: images, clicks, and what must come back.

Every answer is compared with the mask that the same model gives alone; after the clock has stopped,
since on a small machine the comparison would take the service's processor.
"""

import io
import itertools
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import requests
from numpy.typing import NDArray
from PIL import Image

from backend.codecs.brush import decode_brush
from backend.commands.demo.child_process import ChildProcess, free_port
from backend.embeddings import prefetch
from backend.images.decode import decode_image
from backend.label_studio import projects
from backend.label_studio.project_tasks import SEQUENTIAL
from benchmarks.key_points import key_point
from mobilesam import Predictor
from mobilesam.mask_geometry import central_point, intersection_over_union
from mobilesam.scenes import generate_scene

START_TIMEOUT_S = 300
FIRST_PORT = 19090
HEALTH_INTERVAL_S = 0.05
RIGHT_IOU = 0.99  # with the mask that the model gives alone; threads may round differently
FIRST_SEED = 20_000_000
JPEG_QUALITY = 95
MAX_PIXELS = 10**9
OBJECTS_CLICKED = 4  # of each image, in turn


@dataclass(frozen=True)
class Task:
    """An image with the points to click and the masks to expect there."""

    number: int
    file: bytes
    size_hw: tuple[int, int]
    points_xy: list[tuple[float, float]]
    expected: list[NDArray[np.bool_]]


@dataclass
class Click:
    """One answered click: how long it took, and what was wrong with it, if anything was."""

    task: Task
    index: int
    seconds: float
    response: requests.Response

    def fault(self) -> str:
        """Say what is wrong with the answer; empty if nothing is."""
        if self.response.status_code != 200:
            return f"failed: {self.response.status_code} {self.response.reason}"
        mask = np.zeros(self.task.size_hw, bool)
        for region in self.response.json()["results"][0]["result"]:
            mask |= decode_brush(region["value"]["rle"], *self.task.size_hw)
        if intersection_over_union(mask, self.task.expected[self.index]) < RIGHT_IOU:
            return "wrong mask"
        return ""


def make_tasks(
    predictor: Predictor, count: int, size_hw: tuple[int, int], *, first: int = 0
) -> list[Task]:
    """Paint scenes, save them as JPEG, and ask the model for their masks, one after the other."""
    tasks = []
    for number in range(first, first + count):
        scene = generate_scene(FIRST_SEED + number, size_hw)
        buffer = io.BytesIO()
        Image.fromarray(scene.image).save(buffer, "JPEG", quality=JPEG_QUALITY)
        file = buffer.getvalue()
        embedding = predictor.embed(decode_image(file, name="scene", max_pixels=MAX_PIXELS))
        points = [central_point(mask) for mask in scene.masks[:OBJECTS_CLICKED]]
        expected = [
            predictor.predict_object(embedding, points_xy=[point], point_labels=[1]).masks[0]
            for point in points
        ]
        tasks.append(Task(number, file, size_hw, points, expected))
    return tasks


@contextmanager
def image_host(
    tasks: Sequence[Task],
    asked: threading.Event | None = None,
    answer_now: threading.Event | None = None,
    served_after: Mapping[int, int] | None = None,
) -> Iterator[str]:
    """Serve the images and give the address in front of `/<number>.jpg`.

    To a service that has the address as LABEL_STUDIO_URL it is a Label Studio, too, as far as that
    tells which task comes next.

    Args:
        tasks: whose images they are.
        asked: set when a file is asked for.
        answer_now: waited for before any answer.
        served_after: task -> the task that the project serves after it; others are the last ones.
    """
    files = {f"/{task.number}.jpg": task.file for task in tasks}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if asked and answer_now:
                asked.set()
                answer_now.wait()
            is_api = self.path.startswith("/api/")
            content = json.dumps(self._api()).encode() if is_api else files[self.path]
            self.send_response(200)
            self.send_header("Content-Type", "application/json" if is_api else "image/jpeg")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _api(self) -> dict[str, Any]:
            address = urlsplit(self.path)
            if address.path != "/api/tasks/":
                return {"sampling": SEQUENTIAL}
            later, *_ = json.loads(parse_qs(address.query)["query"][0])["filters"]["items"]
            number = (served_after or {}).get(later["value"])
            images = f"http://{self.headers['Host']}"
            return {"tasks": [] if number is None else [task_json(images, number)]}

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def service(
    checkpoint: str, log: Path, *, environment: dict[str, str] | None = None
) -> tuple[ChildProcess, str]:
    """Return `python -m backend serve` on a free port, to be started, and its address."""
    # A start takes seconds, in which another program's test may find the same port free.
    port = free_port(FIRST_PORT + os.getpid() % 5000)
    own = {
        "PORT": str(port),
        "MOBILESAM_HOST": "127.0.0.1",
        "MOBILESAM_CHECKPOINT": checkpoint,
        "MOBILESAM_ALLOW_HOSTS": "127.0.0.1",  # the image host is there
        "MOBILESAM_ZOOM": "off",  # masks are compared with those of the whole image
    }
    backend = ChildProcess(
        "The service",
        [sys.executable, "-m", "backend", "serve"],
        environment=os.environ | own | (environment or {}),
        log=log,
    )
    return backend, f"http://127.0.0.1:{port}"


def task_json(images: str, number: int) -> dict[str, Any]:
    """Make a task of Label Studio's JSON."""
    return {"id": number, "data": {"image": f"{images}/{number}.jpg"}}


def request_body(images: str, task: Task, context: dict[str, Any] | None) -> dict[str, Any]:
    """Make the body of /predict, as Label Studio does."""
    return {
        "tasks": [task_json(images, task.number)],
        "project": "1.0",
        "label_config": projects.LABELING_CONFIG,
        "params": {"context": context},
    }


def click(url: str, images: str, task: Task, index: int) -> Click:
    """Send one click, in a connection of its own, as Label Studio does."""
    region = key_point(task.points_xy[index], task.size_hw)
    body = json.dumps(request_body(images, task, {"result": [region]}))
    headers = {"Content-Type": "application/json"}
    started = time.perf_counter()
    response = requests.post(f"{url}/predict", data=body, headers=headers, timeout=300)
    return Click(task, index, time.perf_counter() - started, response)


def open_task(url: str, images: str, task: Task) -> None:
    """Open a task: its image is embedded in the background."""
    body = request_body(images, task, None)
    requests.post(f"{url}/predict", json=body, timeout=30).raise_for_status()


def annotate(url: str, images: str, task: Task, clicks: int) -> list[Click]:
    """Click a task's objects in turn, as one annotator does."""
    return [click(url, images, task, number % len(task.points_xy)) for number in range(clicks)]


def all_at_once(work: Callable[[Task], list[Click]], tasks: Sequence[Task]) -> list[Click]:
    """Let one annotator work on each task, at the same time."""
    with ThreadPoolExecutor(len(tasks)) as annotators:
        return list(itertools.chain.from_iterable(annotators.map(work, tasks)))


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


def wait_until_idle(url: str) -> None:
    """Wait until no image waits for the encoder."""
    while True:
        time.sleep(0.1)
        health = requests.get(f"{url}/health", timeout=30).json()
        if not health["waiting_for_encoder"]:
            return


def fastest_tier(url: str) -> dict[str, Any]:
    """Return what /health says of the tier that is asked first."""
    tiers = requests.get(f"{url}/health", timeout=30).json()["cache"]
    return tiers.get("device") or tiers["memory"]


def open_until_kept(url: str, images: str, task: Task, kept: int) -> None:
    """Open a task until so many images are in the fastest tier, its own and the next one's.

    What comes next is dropped where something else waits for the encoder, and is asked for again
    at a later click or opening.
    """
    until = time.monotonic() + START_TIMEOUT_S
    open_task(url, images, task)
    opened = time.monotonic()
    while fastest_tier(url)["entries"] < kept:
        now = time.monotonic()
        if now > until:
            raise TimeoutError(f"not {kept} images in memory after {START_TIMEOUT_S} s")
        if now - opened > prefetch.DROPPED_ASKED_AGAIN_AFTER_S:
            open_task(url, images, task)
            opened = now
        time.sleep(0.1)


def percentiles_ms(seconds: Sequence[float]) -> tuple[float, float]:
    """Return median and 95th percentile of durations, in milliseconds."""
    median, p95 = np.percentile(1000 * np.array(seconds), [50, 95])
    return float(median), float(p95)
