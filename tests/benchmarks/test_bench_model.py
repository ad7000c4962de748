"""The model benchmark still runs; its figures are not judged here, and its peers not started."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_bench_model_prints_a_row_for_each_runtime_and_precision():
    options = ["--no-peers", "--checkpoint", "demo", "--turns", "1"]
    options += ["--width", "64", "--height", "48"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.bench_model", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "openvino " in done.stdout
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| ours")]
    assert len(rows) >= 3
    assert all(len(row) == 5 and " / " in row[1] and row[2].endswith(" x") for row in rows)
