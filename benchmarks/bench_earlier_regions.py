"""Does a click take longer where many regions were accepted before? Over HTTP, side by side.

Label Studio sends a task's draft along with each click, and the draft holds every brush region that
the annotator accepted. Warm clicks with and without such a draft take turns; prints the size of the
body, median and 95th percentile of both, and the ratio of the medians.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import requests
from numpy.random import Generator

from backend.codecs.brush import encode_brush
from backend.label_studio import projects
from benchmarks import service_load
from benchmarks.key_points import key_point
from benchmarks.machine import describe_machine
from benchmarks.weights import add_checkpoint
from mobilesam import Predictor

SEED = 7


def brush_region(rng: Generator, size_hw: tuple[int, int]) -> dict[str, Any]:
    """Draw a wobbly disc, as the region that Label Studio keeps of it."""
    height, width = size_hw
    y, x = np.mgrid[0:height, 0:width]
    x0, y0 = rng.uniform(0.2, 0.8, 2) * (width, height)
    turn = np.arctan2(y - y0, x - x0)
    radius = rng.uniform(0.05, 0.2) * height * (1 + 0.1 * np.sin(9 * turn))
    return {
        "id": f"{rng.integers(2**40):x}",
        "type": "brushlabels",
        "from_name": "mask",
        "to_name": "image",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {
            "format": "rle",
            "rle": encode_brush(np.hypot(x - x0, y - y0) < radius),
            "brushlabels": ["Object"],
        },
    }


def body(images: str, task: service_load.Task, draft: list[dict[str, Any]]) -> bytes:
    """Make the request of a click on a task whose draft holds regions."""
    point = key_point(task.points_xy[0], task.size_hw)
    request = {
        "tasks": [
            {
                "id": task.number,
                "data": {"image": f"{images}/{task.number}.jpg"},
                "annotations": [],
                "drafts": [{"id": 1, "result": draft}] if draft else [],
                "predictions": [],
            }
        ],
        "project": "1.0",
        "label_config": projects.LABELING_CONFIG,
        "params": {"login": None, "password": None, "context": {"result": [point]}},
    }
    return json.dumps(request).encode()


def timed_click(url: str, request: bytes) -> float:
    """Return the seconds from the request to the whole answer."""
    started = time.perf_counter()
    response = requests.post(f"{url}/predict", data=request, timeout=120)
    seconds = time.perf_counter() - started
    response.raise_for_status()
    assert response.json()["results"][0]["result"], "no mask came"
    return seconds


def summary(seconds: list[float]) -> str:
    """Return median and 95th percentile of durations, in milliseconds."""
    median_ms, p95_ms = service_load.percentiles_ms(seconds)
    return f"median {median_ms:6.1f} ms   p95 {p95_ms:6.1f} ms   n {len(seconds)}"


def main(arguments: list[str] | None = None) -> int:
    """Run the clicks and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--regions", type=int, default=100)
    parser.add_argument("--clicks", type=int, default=60, help="of each kind")
    parser.add_argument("--width", type=int, default=1600)
    parser.add_argument("--height", type=int, default=1200)
    add_checkpoint(parser)
    parser.add_argument("--log", type=Path, default=Path("runs/bench_earlier_regions.log"))
    options = parser.parse_args(arguments)
    options.log.parent.mkdir(parents=True, exist_ok=True)
    size_hw = (options.height, options.width)

    rng = np.random.default_rng(SEED)
    draft = [brush_region(rng, size_hw) for _ in range(options.regions)]
    predictor = Predictor(options.checkpoint)
    tasks = service_load.make_tasks(predictor, 1, size_hw)
    backend, url = service_load.service(options.checkpoint, options.log)
    without: list[float] = []
    with_draft: list[float] = []
    with service_load.image_host(tasks) as images, backend:
        backend.wait_until_healthy(f"{url}/health", timeout_s=service_load.START_TIMEOUT_S)
        small, large = body(images, tasks[0], []), body(images, tasks[0], draft)
        for request in (small, large, small, large):  # the first embeds the image
            timed_click(url, request)
        for _ in range(options.clicks):
            without.append(timed_click(url, small))
            with_draft.append(timed_click(url, large))

    print(describe_machine("torch", "openvino"))
    print(f"{predictor.model_id}, an image of {options.width} x {options.height}")
    print(f"no earlier region      {len(small):9,d} bytes   {summary(without)}")
    print(f"{options.regions:3d} earlier regions    {len(large):9,d} bytes   {summary(with_draft)}")
    print(f"ratio of the medians   {np.median(with_draft) / np.median(without):.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
