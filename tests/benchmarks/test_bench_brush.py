"""The brush benchmark still runs; its times are not judged here."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from backend.codecs.brush import encode_brush
from benchmarks.bench_brush import least_bytes

ROOT = Path(__file__).parents[2]


def run(*arguments):
    command = [sys.executable, "-m", "benchmarks.bench_brush", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows_of(output, first):
    lines = [line for line in output.splitlines() if line.startswith(f"| {first}")]
    return [line.strip("| ").split(" | ") for line in lines]


def test_bench_brush_prints_a_row_for_each_mask_and_direction_and_its_sizes():
    output = run("--tiny", "--turns", "1")
    assert "numpy " in output
    assert "label-studio-sdk " in output
    rows = rows_of(output, "tiny")
    assert [(row[1], row[3]) for row in rows[:4]] == [
        ("simple", "encode"),
        ("simple", "decode"),
        ("ragged", "encode"),
        ("ragged", "decode"),
    ]
    assert all(row[6].endswith(" x") for row in rows[:4])
    assert [row[1] for row in rows[4:]] == ["simple", "ragged"]
    for row in rows[4:]:
        ours, sdk, least = int(row[3]), int(row[4]), int(row[6])
        assert least <= ours <= sdk
        assert row[5] == f"{1 - ours / sdk:.1%}"
        in_reach = "yes" if least <= 0.8 * sdk else "no"
        assert row[8] == ("reached" if ours <= 0.8 * sdk else in_reach)


def test_bench_brush_adds_up_the_masks_of_a_coco_file(tmp_path):
    square = [[4, 4, 12, 4, 12, 12, 4, 12]]
    annotations = [
        {"id": number, "image_id": 1, "category_id": 1, "segmentation": square, "iscrowd": 0}
        for number in (1, 2)
    ]
    content = {
        "images": [{"id": 1, "height": 20, "width": 30, "file_name": "a.jpg"}],
        "categories": [{"id": 1, "name": "square"}],
        "annotations": annotations,
    }
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(content))
    output = run("--coco", str(path))
    (row,) = rows_of(output, "instances.json")
    mask = np.zeros((20, 30), bool)
    mask[4:12, 4:12] = True
    rle = encode_brush(mask)
    text = json.dumps(rle, separators=(",", ":"))
    assert row[1] == "all 2"
    assert [int(row[column]) for column in (2, 3, 6, 9)] == [
        2 * 17,
        2 * len(rle),
        2 * least_bytes(mask),
        2 * len(text),
    ]
    assert "20% smaller: " in output


@pytest.mark.parametrize(
    ("lengths_px", "bits"),
    [
        pytest.param([1], 11 + 2, id="1-px"),
        pytest.param([2, 5, 16], 3 * 11 + 3 + 5 + 6, id="a-size-for-each"),
        pytest.param([2**14], 11 + 16, id="the-longest-record"),
        pytest.param([2**14 + 1], 27 + 11 + 2, id="a-record-and-1-px"),
        pytest.param([1, 2**16], 11 + 2 + 4 * 27, id="four-full-records"),
    ],
)
def test_least_bytes_gives_every_run_the_bits_that_it_needs(lengths_px, bits):
    mask = np.repeat(np.arange(len(lengths_px)) % 2 == 0, lengths_px)[None]
    assert least_bytes(mask) == -(-(53 + bits) // 8)


def test_least_bytes_is_reached_where_four_sizes_are_enough():
    lengths_px = [1, 5, 20, 100] * 50
    mask = np.repeat(np.arange(200) % 2 == 0, lengths_px)[None]
    assert len(encode_brush(mask)) == least_bytes(mask)
    with_a_fifth = np.append(mask, np.ones((1, 1000), bool), axis=1)
    assert len(encode_brush(with_a_fifth)) > least_bytes(with_a_fifth)
