"""Start-up time and memory of the service: `python -m benchmarks.bench_memory`.

Starts the service three times and measures until the first healthy /health: with weights and graphs
as after an installation, and as at every later start. Then it embeds images and reads the resident
memory of the worker at some counts of cached images.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import requests

from benchmarks.machine import describe_machine
from benchmarks.process_watch import resident_mb
from benchmarks.service_load import (
    START_TIMEOUT_S,
    click,
    image_host,
    make_tasks,
    percentiles_ms,
    service,
)
from mobilesam import Predictor

LATER_STARTS = 3
SIZE_HW = (768, 1024)


def main(arguments: list[str] | None = None) -> int:
    """Print the two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[0, 100, 500])
    parser.add_argument("--checkpoint", default="demo", help="official, demo or a .pt file")
    parser.add_argument("--log", type=Path, default=Path("runs/bench_memory.log"))
    options = parser.parse_args(arguments)
    options.log.parent.mkdir(parents=True, exist_ok=True)
    predictor = Predictor(options.checkpoint)
    tasks = make_tasks(predictor, max(options.images) + 1, SIZE_HW)
    print(describe_machine("torch", "openvino"))
    print(
        f"{predictor.model_id}, {predictor.runtime} {predictor.precision} on {predictor.device}\n"
    )
    del predictor
    with tempfile.TemporaryDirectory() as fresh:
        environment = {
            "MOBILESAM_CACHE_MB": "4096",
            "XDG_CACHE_HOME": fresh,  # no converted graphs yet
            "MOBILESAM_CHECKPOINT": str(_absolute(options.checkpoint)),
        }
        print("| start | seconds to the first healthy /health |\n|---|---|")
        print(f"| first | {start_s(options, environment):.1f} |")
        later = [start_s(options, environment) for _ in range(LATER_STARTS)]
        print(f"| later, median of {LATER_STARTS} | {percentiles_ms(later)[0] / 1000:.1f} |\n")
        print("| cached images | cached, MB | resident memory, MB |\n|---|---|---|", flush=True)
        backend, url = service(options.checkpoint, options.log, environment=environment)
        with image_host(tasks) as images, backend:
            backend.wait_until_healthy(f"{url}/health", timeout_s=START_TIMEOUT_S)
            embedded = 0
            for count in sorted(options.images):
                for task in tasks[embedded:count]:
                    click(url, images, task, 0)
                embedded = count
                cached = requests.get(f"{url}/health", timeout=30).json()["cache"]["memory"]
                assert cached["entries"] == count
                megabytes = cached["bytes"] / 2**20
                print(f"| {count} | {megabytes:.0f} | {resident_mb(backend.pid):.0f} |", flush=True)
    return 0


def start_s(options: argparse.Namespace, environment: dict[str, str]) -> float:
    """Start the service and end it; return the seconds until it is healthy."""
    backend, url = service(options.checkpoint, options.log, environment=environment)
    started = time.perf_counter()
    with backend:
        backend.wait_until_healthy(f"{url}/health", timeout_s=START_TIMEOUT_S)
        return time.perf_counter() - started


def _absolute(checkpoint: str) -> str | Path:
    return Path(checkpoint).resolve() if Path(checkpoint).exists() else checkpoint


if __name__ == "__main__":
    sys.exit(main())
