"""Start-up time and memory of the service: `python -m benchmarks.bench_memory`.

Starts the service some times and measures until the first healthy /health: with weights and graphs
as after an installation, and as at every later start. Then it embeds images and reads the resident
memory of the worker at some counts of cached images.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.machine import describe_machine
from benchmarks.process_watch import resident_mb
from benchmarks.service_load import (
    START_TIMEOUT_S,
    click,
    fastest_tier,
    image_host,
    make_tasks,
    percentiles_ms,
    service,
)
from benchmarks.weights import add_checkpoint
from mobilesam import Predictor


def main(arguments: list[str] | None = None) -> int:
    """Print the two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[0, 100, 500])
    parser.add_argument("--starts", type=int, default=5, help="later ones")
    parser.add_argument("--width", type=int, default=1600)
    parser.add_argument("--height", type=int, default=1200)
    add_checkpoint(parser)
    parser.add_argument("--log", type=Path, default=Path("runs/bench_memory.log"))
    options = parser.parse_args(arguments)
    options.log.parent.mkdir(parents=True, exist_ok=True)
    predictor = Predictor(options.checkpoint)
    tasks = make_tasks(predictor, max(options.images) + 1, (options.height, options.width))
    print(describe_machine("torch", "openvino"))
    print(f"{predictor.model_id}, {predictor.runtime} {predictor.precision} on {predictor.device}")
    print(f"JPEG images of {options.width} x {options.height}\n")
    del predictor
    with tempfile.TemporaryDirectory() as fresh:
        environment = {
            "MOBILESAM_CACHE_MB": "4096",
            "XDG_CACHE_HOME": fresh,  # no converted graphs yet
        }
        print("| seconds to the first healthy /health | median | p95 | n |\n|---|---|---|---|")
        print_starts("first", [start_s(options, environment)])
        print_starts("later", [start_s(options, environment) for _ in range(options.starts)])
        print()
        print("| cached images | cached, MB | resident memory, MB |\n|---|---|---|", flush=True)
        backend, url = service(options.checkpoint, options.log, environment=environment)
        with image_host(tasks) as images, backend:
            backend.wait_until_healthy(f"{url}/health", timeout_s=START_TIMEOUT_S)
            embedded = 0
            for count in sorted(options.images):
                for task in tasks[embedded:count]:
                    click(url, images, task, 0)
                embedded = count
                cached = fastest_tier(url)
                assert cached["entries"] == count
                megabytes = cached["bytes"] / 2**20
                print(f"| {count} | {megabytes:.0f} | {resident_mb(backend.pid):.0f} |", flush=True)
    return 0


def print_starts(name: str, seconds: list[float]) -> None:
    """Print a row of the first table."""
    median_ms, p95_ms = percentiles_ms(seconds)
    print(f"| {name} | {median_ms / 1000:.1f} | {p95_ms / 1000:.1f} | {len(seconds)} |", flush=True)


def start_s(options: argparse.Namespace, environment: dict[str, str]) -> float:
    """Start the service and end it; return the seconds until it is healthy."""
    backend, url = service(options.checkpoint, options.log, environment=environment)
    started = time.perf_counter()
    with backend:
        backend.wait_until_healthy(f"{url}/health", timeout_s=START_TIMEOUT_S)
        return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
