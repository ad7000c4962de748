"""`python -m mobilesam train` as a user types it, with weights of tiny sizes."""

import json

import cv2
import pytest
import torch
from test_trainer import TINY, tiny_model

from mobilesam.__main__ import main
from mobilesam.model import mobile_sam
from mobilesam.training import command, run
from mobilesam.training.card import write_card
from mobilesam.training.curve_plot import draw_curve
from mobilesam.weights.checkpoint import load_model, read_notes, save_weights


@pytest.fixture
def parent(tmp_path, monkeypatch):
    monkeypatch.setitem(mobile_sam.SIZES, "tiny", TINY)
    monkeypatch.setattr(run, "KEPT_WINDOWS", 6)
    monkeypatch.setattr(command, "CARD_IMAGES", 2)
    save_weights(tiny_model(), "tiny", tmp_path / "tiny.pt")
    return tmp_path / "tiny.pt"


def train(coco, parent, *more):
    out = parent.with_name("my.pt")
    options = ["--coco", str(coco), "--from", str(parent), "--out", str(out), "--steps", "2"]
    return main(["train", *options, "--device", "cpu", "--val", "0.3", *more]), out


@pytest.mark.parametrize("part", ["all", "decoder"])
def test_train_writes_weights_card_and_curve(coco, parent, part, capsys):
    status, out = train(coco, parent, "--part", part)
    assert status == 0, capsys.readouterr().err
    assert load_model(out).sizes == TINY
    notes = read_notes(out)
    assert notes["trained"] == part
    assert notes["parent"].startswith("mobilesam-tiny-weights-")
    card = json.loads(out.with_suffix(".json").read_text())
    assert card["parent"] == notes["parent"]
    assert card["trained"] == part
    assert card["recipe"]["seed"] == 0
    objects = len(json.loads(coco.read_text())["annotations"])
    assert card["data"] == [{"file": "instances.json", "images": 12, "objects": objects}]
    assert card["images"]["learnt"] + card["images"]["held_out"] == 12
    before, after = card["held_out"]["before"], card["held_out"]["after"]
    assert {row["prompt"] for row in before} == {"click", "off-centre click", "box"}
    assert "size medium" in {row["group"] for row in before}
    assert [(row["group"], row["objects"]) for row in before] == [
        (row["group"], row["objects"]) for row in after
    ]
    text = out.with_suffix(".md").read_text()
    assert f"**parent**: {notes['parent']}" in text
    assert "| all | box |" in text
    curve = cv2.imread(str(out.with_suffix(".curve.png")))
    assert curve.shape == (460, 900, 3)
    assert "held out; training" in capsys.readouterr().out


def test_train_mixes_scenes_in_and_counts_them(coco, parent, capsys):
    status, out = train(coco, parent, "--scenes", "2")
    assert status == 0, capsys.readouterr().err
    data = json.loads(out.with_suffix(".json").read_text())["data"]
    assert [(one["images"]) for one in data] == [12, 2]


def test_small_models_learn_whole_and_official_ones_on_a_cpu_the_decoder():
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    official = mobile_sam.MobileSAM(mobile_sam.SIZES["vit_t"])
    assert command.choose_part("auto", tiny_model(), cpu) == "all"
    assert command.choose_part("auto", official, cpu) == "decoder"
    assert command.choose_part("auto", official, gpu) == "all"
    assert command.choose_part("all", official, cpu) == "all"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param(["--images", "nowhere"], "12 of the 12 images of", id="no-images"),
        pytest.param(
            ["--images", "a", "--images", "b"], "1 --coco and 2 --images", id="two-folders"
        ),
        pytest.param(["--val", "0"], "and 0 held out; label more", id="nothing-held-out"),
        pytest.param(["--from", "gone.pt"], "no weights file at gone.pt", id="no-parent"),
    ],
)
def test_mistakes_are_one_line_with_the_remedy(coco, parent, options, words, capsys):
    status, out = train(coco, parent, *options)
    assert status == 1
    assert words in capsys.readouterr().err
    assert not out.exists()


def test_card_says_what_changed(tmp_path):
    row = {"group": "all", "prompt": "box", "objects": 3, "iou": [0.5, 0.4, 0.6]}
    write_card(
        tmp_path / "a.json",
        {"name": "a.pt", "data": [{"file": "x", "images": 2}]},
        [row],
        [{**row, "iou": [0.75, 0.7, 0.8]}],
    )
    text = (tmp_path / "a.md").read_text()
    assert "| all | box | 3 | 0.500 (0.400 to 0.600) | 0.750 (0.700 to 0.800) |" in text
    assert "- **data**: file x, images 2" in text


def test_curve_of_a_run_that_only_began_is_drawn(tmp_path):
    draw_curve([(0.0, 0, float("nan"), 0.4)], tmp_path / "curve.png")
    assert cv2.imread(str(tmp_path / "curve.png")) is not None
