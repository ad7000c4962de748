"""The model's command line, as a user types it."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_masks

from mobilesam.__main__ import main
from mobilesam.scenes import generate_scene

PREDICT = ["predict", "--point", "1", "1", "--out"]


@pytest.fixture
def scene(tmp_path):
    scene = generate_scene(10_000_003)
    Image.fromarray(scene.image).save(tmp_path / "scene.png")
    return scene


def test_predict_writes_a_picture(scene, tmp_path, capsys):
    out = tmp_path / "out.png"
    arguments = ["--checkpoint", "demo", "--device", "cpu", "--point", "128", "128"]
    status = main(
        ["predict", str(tmp_path / "scene.png"), *arguments, "--off", "5", "5", "--out", str(out)]
    )
    assert status == 0
    with Image.open(out) as picture:
        assert picture.size == (256, 256)
    assert "predicted IoU" in capsys.readouterr().out


def test_evaluate_prints_the_same_numbers_twice(capsys):
    for _ in range(2):
        assert main(["evaluate", "--checkpoint", "demo", "--device", "cpu", "--scenes", "2"]) == 0
    printed = capsys.readouterr().out
    assert "one click inside the object, mean IoU" in printed
    half = len(printed) // 2
    assert printed[:half] == printed[half:]


def test_evaluate_everything_says_how_many_objects_are_found(capsys):
    arguments = ["--checkpoint", "demo", "--device", "cpu", "--scenes", "1"]
    assert main(["evaluate", *arguments, "--everything", "--points-per-side", "8"]) == 0
    rows = dict(line.rsplit(maxsplit=1) for line in capsys.readouterr().out.splitlines()[1:])
    assert float(rows["objects"]) > 0
    assert 0 < float(rows["found, at an IoU of 0.75"]) <= float(rows["found, at an IoU of 0.5"])
    assert 0 < float(rows["proposals that are objects, at 0.5"]) <= 1


def test_evaluate_reads_polygons_and_rle(scene, tmp_path, capsys):
    y, x = np.mgrid[0:256, 0:256]
    disc = np.hypot(x - 100, y - 100) < 40
    rle = coco_masks.encode(np.asfortranarray(disc.astype(np.uint8)))
    rle["counts"] = rle["counts"].decode()
    square = [[10, 10, 60, 10, 60, 60, 10, 60]]
    small = [[0, 0, 10, 0, 10, 10, 0, 10]]
    content = {
        "images": [{"id": 1, "file_name": "scene.png", "height": 256, "width": 256}],
        "annotations": [
            {"image_id": 1, "segmentation": rle},
            {"image_id": 1, "segmentation": square},
            {"image_id": 1, "segmentation": small},
            {"image_id": 1, "segmentation": square, "iscrowd": 1},
        ],
    }
    file = tmp_path / "instances.json"
    file.write_text(json.dumps(content))
    options = ["--checkpoint", "demo", "--coco", str(file), "--images", str(tmp_path)]
    assert main(["evaluate", *options]) == 0
    lines = dict(line.rsplit(maxsplit=1) for line in capsys.readouterr().out.splitlines()[1:])
    assert lines["objects"] == "2"
    ellipse = float(lines["(an ellipse filling that box, mean IoU)"])
    assert ellipse == pytest.approx((1 + np.pi / 4) / 2, abs=0.02)


def test_clicks_prints_the_same_table_twice(capsys):
    arguments = ["--checkpoint", "demo", "--device", "cpu", "--objects", "2", "--clicks", "2"]
    for _ in range(2):
        assert main(["clicks", *arguments]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[1].startswith("| 2 objects, 2 clicks | to 85% | to 90% |")
    assert "| with the mask before |" in "".join(printed)
    assert printed[: len(printed) // 2] == printed[len(printed) // 2 :]


def test_compare_prints_the_runtime_and_its_agreement(capsys):
    choice = ["--device", "cpu", "--runtime", "openvino", "--precision", "float32"]
    assert main(["compare", "--checkpoint", "demo", "--scenes", "1", *choice]) == 0
    first, second, click, box = capsys.readouterr().out.splitlines()
    assert "in openvino float32 on cpu" in first
    assert second.endswith("IoU with torch in float32 on the CPU")
    assert float(click.split()[2]) == pytest.approx(1, abs=1e-3)
    assert box.split()[:2] == ["box", "mean"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param([*PREDICT, "a.png", "nothing.png"], "no image at", id="no-image"),
        pytest.param(
            ["predict", "--out", "a.png", "scene.png"], "nothing to segment", id="no-prompt"
        ),
        pytest.param([*PREDICT, "a.foo", "scene.png"], "cannot write a.foo", id="no-format"),
        pytest.param([*PREDICT, "no/a.png", "scene.png"], "cannot write no/a.png", id="no-folder"),
        pytest.param(["evaluate", "--coco", "gone.json"], "'gone.json'", id="no-instances"),
    ],
)
def test_mistakes_are_one_line(scene, arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    status = main([*arguments, "--checkpoint", "demo"])
    assert status == 1
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert words in printed
    assert len(printed.splitlines()) == 1


@pytest.mark.parametrize("count", ["0", "-1", "2.5", "many"])
def test_evaluate_needs_a_scene(count, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["evaluate", "--checkpoint", "demo", "--scenes", count])
    assert f"'{count}' is not a whole number from 1 on" in capsys.readouterr().err
