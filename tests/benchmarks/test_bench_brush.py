"""The brush benchmark still runs; its figures are not judged here."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_bench_brush_prints_a_row_for_each_mask_and_direction():
    command = [sys.executable, "-m", "benchmarks.bench_brush", "--tiny", "--turns", "1"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "numpy " in done.stdout
    assert "label-studio-sdk " in done.stdout
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| tiny")]
    assert [(row[1], row[3]) for row in rows] == [
        ("simple", "encode"),
        ("simple", "decode"),
        ("ragged", "encode"),
        ("ragged", "decode"),
    ]
    assert all(row[6].endswith(" x") for row in rows)
