"""Replicas that share a Redis on this machine, and what large jobs need, on paper.

Starts 1, 2 and 4 services on one Redis (Debian's redis-server) and 127.0.0.1. Annotators click on
whichever is next in turn, so that most clicks meet an embedding that another replica made. Then it
reckons from the measured costs how long a million images take, and what a thousand annotators need.
"""

import argparse
import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import requests

from backend.demo.child_process import free_port
from backend.fetching.decoding import decode_image
from benchmarks.machine import describe_machine
from benchmarks.service_load import (
    START_TIMEOUT_S,
    Click,
    Task,
    click,
    image_host,
    make_tasks,
    percentiles_ms,
    service,
)
from mobilesam import Predictor

CLICKS_PER_MINUTE = 12  # of a quick annotator
IMAGES_PER_HOUR = 60  # that a quick annotator opens
STORED_MB = 2.1  # an embedding in Redis or on disk, in half precision


@contextmanager
def redis_server(port: int | None = None) -> Iterator[str]:
    """Run a Redis that keeps nothing, on a free port if none is given, and give its URL."""
    port = port or free_port(16379)
    command = ["redis-server", "--port", str(port), "--save", "", "--bind", "127.0.0.1"]
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
        try:
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()
            process.wait()


def measure(
    replicas: int, tasks: list[Task], clicks: int, options: argparse.Namespace, redis_url: str
) -> list[Click]:
    """Let one annotator work on each task, spread over replicas; print the row."""
    environment = {"MOBILESAM_REDIS_URL": redis_url, "MOBILESAM_PREFETCH_TASKS": "0"}
    with ExitStack() as stack:
        images = stack.enter_context(image_host(tasks))
        urls = []
        for number in range(replicas):
            log = options.log.with_suffix(f".{number}.log")
            backend, url = service(options.checkpoint, log, environment=environment)
            stack.enter_context(backend)
            backend.wait_until_healthy(f"{url}/health", timeout_s=START_TIMEOUT_S)
            urls.append(url)
        turns = itertools.cycle(urls)

        def annotate(task: Task) -> list[Click]:
            return [
                click(next(turns), images, task, number % len(task.points_xy))
                for number in range(clicks)
            ]

        started = time.perf_counter()
        with ThreadPoolExecutor(len(tasks)) as annotators:
            found = list(itertools.chain.from_iterable(annotators.map(annotate, tasks)))
        elapsed_s = time.perf_counter() - started
        health = [requests.get(f"{url}/health", timeout=30).json()["cache"] for url in urls]
    shared = sum(cache["redis"]["hits"] for cache in health)
    faults = [fault for fault in (each.fault() for each in found) if fault]
    median_ms, p95_ms = percentiles_ms([each.seconds for each in found])
    cells = [replicas, len(tasks), f"{len(found) / elapsed_s:.1f}", f"{median_ms:.0f}"]
    print(f"| {' | '.join(map(str, [*cells, f'{p95_ms:.0f}', shared, len(faults)]))} |", flush=True)
    return found


def main(arguments: list[str] | None = None) -> int:
    """Print the measured table and the reckoned one; the exit status is 1 if a mask was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--annotators", type=int, default=8)
    parser.add_argument("--clicks", type=int, default=10, help="of each annotator")
    parser.add_argument("--width", type=int, default=1600)
    parser.add_argument("--height", type=int, default=1200)
    parser.add_argument("--checkpoint", default="demo", help="official, demo or a .pt file")
    parser.add_argument("--log", type=Path, default=Path("runs/bench_scale.log"))
    options = parser.parse_args(arguments)
    options.log.parent.mkdir(parents=True, exist_ok=True)
    predictor = Predictor(options.checkpoint)
    print(describe_machine("torch", "openvino", "redis"))
    print(f"{predictor.model_id}, {predictor.runtime} {predictor.precision} on {predictor.device}")
    print(f"JPEG images of {options.width} x {options.height}\n")
    size_hw = options.height, options.width
    groups = [
        make_tasks(predictor, options.annotators, size_hw, first=1000 * replicas)
        for replicas in options.replicas
    ]
    costs_s = reckon_costs(predictor, groups[0])
    del predictor
    head = "replicas | annotators | clicks / s | median, ms | p95, ms | found in Redis | faults"
    print(f"| {head} |\n|{'---|' * 7}", flush=True)
    with redis_server() as redis_url:
        found = [
            measure(replicas, tasks, options.clicks, options, redis_url)
            for replicas, tasks in zip(options.replicas, groups, strict=True)
        ]
    print_paper(*costs_s)
    return 1 if any(each.fault() for clicks in found for each in clicks) else 0


def reckon_costs(predictor: Predictor, tasks: list[Task]) -> tuple[float, float]:
    """Return the seconds of an encode and of a decode, each alone on all cores."""
    encodes, decodes = [], []
    for task in tasks:
        started = time.perf_counter()
        image = decode_image(task.file, name="scene", max_pixels=10**9)
        embedding = predictor.embed(image)
        encodes.append(time.perf_counter() - started)
        for point in task.points_xy:
            started = time.perf_counter()
            _ = predictor.predict_object(embedding, points_xy=[point], point_labels=[1]).masks
            decodes.append(time.perf_counter() - started)
    return percentiles_ms(encodes)[0] / 1000, percentiles_ms(decodes)[0] / 1000


def print_paper(encode_s: float, decode_s: float) -> None:
    """Reckon large jobs from the costs of one image and one click, on machines like this one."""
    print(f"\nalone: {1000 * encode_s:.0f} ms an image, {1000 * decode_s:.0f} ms a click")
    print("\n| job | on machines like this one |\n|---|---|")
    days = 1e6 * encode_s / 86400
    print(f"| embed 1,000,000 images | {days:.1f} machine days, {1e6 * STORED_MB / 1e3:,.0f} GB |")
    load = 1000 * (CLICKS_PER_MINUTE / 60 * decode_s + IMAGES_PER_HOUR / 3600 * encode_s)
    print(
        f"| 1,000 annotators, {CLICKS_PER_MINUTE} clicks a minute, {IMAGES_PER_HOUR} images an hour"
        f" | {load:.1f} machines at full load, {2 * load:.0f} at half |"
    )


if __name__ == "__main__":
    sys.exit(main())
