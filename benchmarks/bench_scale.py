"""Replicas that share a Redis on this machine, and what large jobs need, on paper.

Starts 1, 2 and 4 services on one Redis (Debian's redis-server) and 127.0.0.1. Annotators click on
whichever is next in turn, so that most clicks meet an embedding that another replica made. Then it
reckons from the measured costs how long a million images take, and what a thousand annotators need.
"""

import argparse
import itertools
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import requests

from backend.commands.demo.child_process import free_port
from backend.images.decode import decode_image
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
from benchmarks.weights import add_checkpoint
from mobilesam import Predictor

IMAGES = 1_000_000
NIGHT_S = 12 * 3600
ANNOTATORS = 1000
CLICKS_PER_MINUTE = 12  # of a quick annotator
IMAGES_PER_HOUR = 60  # that a quick annotator opens
WORKING_HOURS = 8
MOST_LOAD = 0.5  # of a replica, so that clicks that come together do not wait for long


class Costs(NamedTuple):
    """What an image and a click take of a machine: its time alone, and bytes in Redis."""

    encode_s: float
    decode_s: float
    stored_bytes: int


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
    add_checkpoint(parser)
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
    costs = measure_costs(predictor, groups[0])
    del predictor
    head = "replicas | annotators | clicks / s | median, ms | p95, ms | found in Redis | faults"
    print(f"| {head} |\n|{'---|' * 7}", flush=True)
    with redis_server() as redis_url:
        found = [
            measure(replicas, tasks, options.clicks, options, redis_url)
            for replicas, tasks in zip(options.replicas, groups, strict=True)
        ]
    print_paper(costs)
    return 1 if any(each.fault() for clicks in found for each in clicks) else 0


def measure_costs(predictor: Predictor, tasks: list[Task]) -> Costs:
    """Embed and click each task's image, with nothing else running."""
    encodes, decodes, sizes = [], [], []
    for task in tasks:
        started = time.perf_counter()
        image = decode_image(task.file, name="scene", max_pixels=10**9)
        embedding = predictor.embed(image).in_half_precision()
        encodes.append(time.perf_counter() - started)
        sizes.append(len(predictor.pack(embedding)))
        for point in task.points_xy:
            started = time.perf_counter()
            _ = predictor.predict_object(embedding, points_xy=[point], point_labels=[1]).masks
            decodes.append(time.perf_counter() - started)
    print(f"alone: an image {summary(encodes)}, a click {summary(decodes)}", end=", ")
    print(f"{max(sizes) / 1e6:.2f} MB an embedding\n")
    return Costs(float(np.median(encodes)), float(np.median(decodes)), max(sizes))


def summary(seconds: list[float]) -> str:
    """Say median and 95th percentile of durations."""
    median_ms, p95_ms = percentiles_ms(seconds)
    return f"{median_ms:.0f} ms (p95 {p95_ms:.0f}, n {len(seconds)})"


def print_paper(costs: Costs) -> None:
    """Reckon large jobs from the costs of one image and one click, on machines like this one."""
    print("\n| on paper, a machine like this one for each replica | images / s | GB | replicas |")
    print("|---|---|---|---|")
    needed = math.ceil(IMAGES * costs.encode_s / NIGHT_S)
    print_job(f"embed {IMAGES:,} images, one replica", 1 / costs.encode_s, IMAGES, costs, 1)
    print_job(f"the same in {NIGHT_S // 3600} hours", IMAGES / NIGHT_S, IMAGES, costs, needed)
    images_per_s = ANNOTATORS * IMAGES_PER_HOUR / 3600
    clicks_per_s = ANNOTATORS * CLICKS_PER_MINUTE / 60
    load = images_per_s * costs.encode_s + clicks_per_s * costs.decode_s
    print_job(
        f"{ANNOTATORS:,} annotators, {CLICKS_PER_MINUTE} clicks a minute, {IMAGES_PER_HOUR} images "
        f"an hour, at half load; GB of {WORKING_HOURS} hours",
        images_per_s,
        ANNOTATORS * IMAGES_PER_HOUR * WORKING_HOURS,
        costs,
        math.ceil(load / MOST_LOAD),
    )


def print_job(name: str, images_per_s: float, images: int, costs: Costs, replicas: int) -> None:
    """Print a row of the table on paper."""
    gigabytes = images * costs.stored_bytes / 1e9
    print(f"| {name} | {images_per_s:.1f} | {gigabytes:,.0f} | {replicas} |")


if __name__ == "__main__":
    sys.exit(main())
