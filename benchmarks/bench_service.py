"""Clicks over HTTP, of one annotator and of many, with every answer checked.

Starts the service and an image host on 127.0.0.1. Each annotator has an image of their own; every
mask is compared with the one that the same model gives alone. Rows:

    first      the image was never seen: fetched, decoded, encoded, decoded; all annotators at once
    warm       further clicks on it, all annotators clicking as fast as they are answered
    returning  to an image that was left for another one
    opened     the first click on a task that was opened before
    came next  the first click on the task that the project serves after one that was opened
    beside     a warm click while four images wait for the encoder
"""

import argparse
import itertools
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import requests

from benchmarks.machine import describe_machine
from benchmarks.service_load import (
    START_TIMEOUT_S,
    Click,
    Task,
    all_at_once,
    annotate,
    click,
    health_watch,
    image_host,
    make_tasks,
    open_task,
    open_until_kept,
    percentiles_ms,
    service,
)
from benchmarks.weights import add_checkpoint
from mobilesam import Predictor

QUEUED = 4  # images that wait for the encoder beside a warm click
REPEATED = 5  # tasks for each row of first clicks of one annotator


class Table:
    """The rows that were measured, and what was wrong with any click."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.clicks = 0
        print(
            "| clicks | annotators | median, ms | p95, ms | longest, ms | clicks / s | n | faults |"
        )
        print("|---|---|---|---|---|---|---|---|")

    def add(
        self, name: str, annotators: int, clicks: Sequence[Click], elapsed_s: float | None = None
    ) -> None:
        """Check the clicks and print their row."""
        faults = [fault for fault in (found.fault() for found in clicks) if fault]
        self.faults += faults
        self.clicks += len(clicks)
        seconds = [found.seconds for found in clicks]
        median_ms, p95_ms = percentiles_ms(seconds)
        rate = f"{len(clicks) / elapsed_s:.1f}" if elapsed_s else ""
        cells = [name, annotators, f"{median_ms:.0f}", f"{p95_ms:.0f}", f"{1e3 * max(seconds):.0f}"]
        print(f"| {' | '.join(map(str, [*cells, rate, len(clicks), len(faults)]))} |", flush=True)


def measure_crowd(table: Table, url: str, images: str, tasks: Sequence[Task], clicks: int) -> None:
    """First clicks of all annotators at once, then warm ones."""
    first = all_at_once(lambda task: [click(url, images, task, 0)], tasks)
    table.add("first", len(tasks), first)
    started = time.perf_counter()
    warm = all_at_once(lambda task: annotate(url, images, task, clicks), tasks)
    table.add("warm", len(tasks), warm, time.perf_counter() - started)


def served_after(tasks: Sequence[Task]) -> dict[int, int]:
    """Return which task the project serves after which one, of those that `measure_one` takes."""
    opened, following = (tasks[n * REPEATED :][:REPEATED] for n in (1, 2))
    return {one.number: other.number for one, other in zip(opened, following, strict=True)}


def measure_one(table: Table, url: str, images: str, tasks: Sequence[Task], clicks: int) -> None:
    """What one annotator meets; needs `3 * REPEATED + QUEUED` tasks."""
    fresh, opened, following = (tasks[n * REPEATED :][:REPEATED] for n in range(3))
    queued = tasks[3 * REPEATED :]
    table.add("first", 1, [click(url, images, task, 0) for task in fresh])
    here, there, *_ = fresh
    started = time.perf_counter()
    warm = annotate(url, images, here, clicks)
    table.add("warm", 1, warm, time.perf_counter() - started)
    pairs = [click(url, images, task, 0) for _ in range(clicks) for task in (here, there)]
    table.add("returning", 1, pairs)
    for number, task in enumerate(opened, 1):
        open_until_kept(url, images, task, REPEATED + 2 * number)
    table.add("opened", 1, [click(url, images, task, 0) for task in opened])
    table.add("came next", 1, [click(url, images, task, 0) for task in following])
    for task in queued:
        threading.Thread(target=open_task, args=(url, images, task)).start()
    beside = []
    while not beside or requests.get(f"{url}/health", timeout=30).json()["waiting_for_encoder"]:
        beside.append(click(url, images, here, len(beside) % len(here.points_xy)))
    table.add(f"beside {QUEUED} encodes", 1, beside)


def main(arguments: list[str] | None = None) -> int:
    """Run the load and print the table; the exit status is 1 if any answer was not right."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--annotators", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--clicks", type=int, default=20, help="warm ones of each annotator")
    parser.add_argument("--width", type=int, default=1600)
    parser.add_argument("--height", type=int, default=1200)
    add_checkpoint(parser)
    parser.add_argument("--log", type=Path, default=Path("runs/bench_service.log"))
    options = parser.parse_args(arguments)
    options.log.parent.mkdir(parents=True, exist_ok=True)

    size_hw = options.height, options.width
    predictor = Predictor(options.checkpoint)
    print(describe_machine("torch", "openvino"))
    print(f"{predictor.model_id}, {predictor.runtime} {predictor.precision} on {predictor.device}")
    print(f"JPEG images of {options.width} x {options.height}\n")
    counts = [3 * REPEATED + QUEUED, *options.annotators]
    groups = [
        make_tasks(predictor, count, size_hw, first=sum(counts[:index]))
        for index, count in enumerate(counts)
    ]
    del predictor  # its threads would take the service's processor
    table = Table()
    with ExitStack() as stack:
        every = [*itertools.chain.from_iterable(groups)]
        images = stack.enter_context(image_host(every, served_after=served_after(groups[0])))
        label_studio = {"LABEL_STUDIO_URL": images, "LABEL_STUDIO_API_KEY": "0" * 40}
        backend, url = service(options.checkpoint, options.log, environment=label_studio)
        stack.enter_context(backend)
        backend.wait_until_healthy(f"{url}/health", timeout_s=START_TIMEOUT_S)
        with health_watch(url) as health:
            measure_one(table, url, images, groups[0], options.clicks)
            for tasks in groups[1:]:
                measure_crowd(table, url, images, tasks, options.clicks)
    median_ms, p95_ms = percentiles_ms(health)
    print(f"\n/health meanwhile: median {median_ms:.0f} ms, p95 {p95_ms:.0f} ms, ", end="")
    print(f"longest {1000 * max(health):.0f} ms, n {len(health)}")
    print(f"failed or wrong: {len(table.faults)} of {table.clicks} {sorted(set(table.faults))}")
    return 1 if table.faults else 0


if __name__ == "__main__":
    sys.exit(main())
