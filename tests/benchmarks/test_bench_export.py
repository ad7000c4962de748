"""The export benchmark still runs; its figures are not judged here."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_bench_export_prints_a_row_for_each_size():
    command = [sys.executable, "-m", "benchmarks.bench_export", "--tasks", "1", "3"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines()[-2:]]
    assert [row[:2] for row in rows] == [["1", "2"], ["3", "5"]]
