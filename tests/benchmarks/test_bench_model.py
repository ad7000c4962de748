"""The model benchmark still runs; its figures are not judged here, and its peers not started."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from benchmarks import bench_model

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
    assert len(rows) >= 2  # and bfloat16 where this machine has it
    assert all(len(row) == 5 and " / " in row[1] and row[2].endswith(" x") for row in rows)


def test_clocks_are_read_when_the_gpu_is_done(loaded_gpu, gpu_predictor, monkeypatch):
    times = []
    monkeypatch.setattr(
        "benchmarks.bench_model.time.perf_counter",
        lambda: times.append(list(loaded_gpu.waits)) or float(len(times)),
    )
    run = bench_model.ours(gpu_predictor, np.zeros((48, 64, 3), np.uint8))
    for action in ("encode", "decode"):
        assert run(action) == 1000
    monkeypatch.setattr(gpu_predictor, "batch_size", 2)
    assert bench_model.batched(gpu_predictor, np.zeros((48, 64, 3), np.uint8), 1) == [500]
    assert len(times) == 7  # none at the end of what warms up
    assert all(waits[-1] == "synchronize" for waits in times)


def test_gpu_is_named_also_without_nvidias_program(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "A GPU")
    monkeypatch.setenv("PATH", "")
    assert bench_model.describe_gpu().startswith("A GPU, driver unknown, CUDA ")
