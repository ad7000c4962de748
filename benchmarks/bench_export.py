"""Speed and memory of an export, at several sizes: `python -m benchmarks.bench_export`.

Each export is a process of its own, on a JSON file like Label Studio's with one or two brush masks
of 640 x 480 pixels in each task. Memory must not grow with the number of tasks.
"""

import argparse
import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from backend.codecs.brush import encode_brush
from mobilesam.scenes import generate_scene

SIZES = (1_000, 10_000, 100_000)
SIZE_HW = (480, 640)
SEEDS = range(20)

# The peak of the process itself, as Linux counts it; `resource` would add what its parent had.
EXPORT = """
import re, sys
from backend.cli import main
status = main(sys.argv[1:])
print(re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())[1])
sys.exit(status)
"""


def write_tasks(path: Path, count: int) -> None:
    """Write an export of so many tasks."""
    height, width = SIZE_HW
    masks = [mask for seed in SEEDS for mask in generate_scene(seed, SIZE_HW).masks]
    regions = itertools.cycle(
        {
            "id": f"region{index}",
            "type": "brushlabels",
            "from_name": "mask",
            "to_name": "image",
            "original_width": width,
            "original_height": height,
            "value": {"format": "rle", "rle": encode_brush(mask), "brushlabels": [label]},
        }
        for index, (mask, label) in enumerate(zip(masks, itertools.cycle("ABC"), strict=False))
    )
    with path.open("w", encoding="utf-8") as file:
        for number in range(1, count + 1):
            result = list(itertools.islice(regions, 1 + number % 2))
            task = {
                "id": number,
                "data": {"image": f"/data/upload/1/{number:08x}-picture_{number}.jpg"},
                "annotations": [{"id": number, "result": result}],
            }
            file.write(("[" if number == 1 else ",\n") + json.dumps(task))
        file.write("]")


def main() -> None:
    """Print a row for each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, nargs="+", default=SIZES, help="default: %(default)s")
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    print("| tasks | annotations | export file, MB | seconds | tasks / s | peak memory, MB |")
    print("|---|---|---|---|---|---|")
    for count in arguments.tasks:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "export.json"
            write_tasks(source, count)
            command = ["export-coco", "--from", str(source), "--out", f"{folder}/coco"]
            start_s = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-c", EXPORT, *command],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            seconds = time.perf_counter() - start_s
            summary, peak_kib = done.stdout.splitlines()
            cells = [
                str(count),
                summary.split()[2],
                f"{source.stat().st_size / 2**20:.0f}",
                f"{seconds:.1f}",
                f"{count / seconds:.0f}",
                f"{int(peak_kib) / 2**10:.0f}",
            ]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
