"""Training: repeatable, resumable after kill -9, better masks, held-out images left alone."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mobilesam.coco_instances import CocoImage, read_instances
from mobilesam.errors import ImageError, TrainingError
from mobilesam.model.mobile_sam import SIZES, MobileSAM, ModelSizes
from mobilesam.model.prompt_encoder import NEGATIVE, PADDING, POSITIVE
from mobilesam.training import windows
from mobilesam.training.feed import KeptFeed, WindowFeed, is_held_out, split
from mobilesam.training.prompt_sampling import TOKENS, UNUSED, beside, first_prompt, loose_box
from mobilesam.training.run import Run, RunOptions
from mobilesam.training.trainer import Recipe, Trainer, decode

TINY = ModelSizes(
    input_size=64,
    encoder=replace(
        SIZES["demo"].encoder, widths=(8, 8, 16, 16), depths=(1, 1, 1, 1), heads=(1, 1, 1, 1)
    ),
    embedding_dim=16,
    decoder_heads=2,
    decoder_mlp_dim=16,
)
RECIPE = Recipe(steps=6, windows=2, objects=2, rounds=3, warm_up_steps=2)


def tiny_model():
    torch.manual_seed(0)
    return MobileSAM(TINY)


@pytest.fixture(scope="module")
def images(coco):
    return read_instances(coco, coco.with_name("images"))


@pytest.fixture
def discs(tmp_path):
    """Eight images of 64 x 64 px, on each a light disc that a polygon outlines."""
    images = []
    y, x = np.mgrid[0:64, 0:64]
    angles = np.linspace(0, 2 * np.pi, 40)
    for number in range(8):
        rng = np.random.default_rng(number)
        centre, radius = rng.uniform(20, 44, 2), rng.uniform(10, 18)
        inside = np.hypot(x - centre[0], y - centre[1]) < radius
        pixels = np.where(inside[..., None], 220, 40).astype(np.uint8).repeat(3, axis=2)
        path = tmp_path / f"{number}.png"
        cv2.imwrite(str(path), pixels)
        outline = centre + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        images.append(CocoImage(path, (64, 64), ([outline.ravel().tolist()],), ("disc",)))
    return images


@pytest.fixture
def feed(images):
    return WindowFeed(images, input_size=64, objects=2, seed=0)


def weights_of(trainer):
    return torch.cat([value.flatten().double() for value in trainer.averaged.state_dict().values()])


def test_stopped_run_ends_with_the_weights_of_one_that_was_not(feed, tmp_path):
    whole = Trainer(tiny_model(), RECIPE, tmp_path / "whole", "cpu")
    for _ in range(6):
        whole.train_step(feed)
    stopped = Trainer(tiny_model(), RECIPE, tmp_path / "stopped", "cpu")
    for _ in range(3):
        stopped.train_step(feed)
    stopped.save()
    stopped.train_step(feed)  # lost: it was not saved
    resumed = Trainer(tiny_model(), RECIPE, tmp_path / "stopped", "cpu")
    assert resumed.progress.step == 3
    for _ in range(3):
        resumed.train_step(feed)
    torch.testing.assert_close(weights_of(resumed), weights_of(whole), rtol=0, atol=0)
    assert resumed.done == 1


def test_decoder_part_leaves_the_encoder_alone_and_encodes_each_window_once(images, tmp_path):
    model = tiny_model().eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trainer = Trainer(model, replace(RECIPE, part="decoder"), tmp_path, "cpu")
    encodes = []
    model.image_encoder.register_forward_hook(lambda *_: encodes.append(1))
    feed = KeptFeed(
        WindowFeed(images, input_size=64, objects=2, seed=0), model, tmp_path / "kept", count=3
    )
    for _ in range(6):
        trainer.train_step(feed)
    assert len(encodes) <= 3
    after = trainer.averaged_model.state_dict()
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert {name for name in before if name.startswith("image_encoder.")} <= same
    assert any(not name.startswith("image_encoder.") for name in before.keys() - same)


def test_unused_tokens_change_no_answer():
    model = tiny_model().eval()
    embedding = torch.randn(1, 16, 4, 4)
    points = torch.rand(1, TOKENS, 2) * 64
    kinds = torch.full((1, TOKENS), UNUSED)
    kinds[0, :2] = torch.tensor([POSITIVE, PADDING])
    logits, iou = decode(model, embedding, points, kinds, None)
    wanted = model.decode(embedding, points[:, :2], kinds[:, :2])
    torch.testing.assert_close(logits, wanted[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(iou, wanted[1], rtol=1e-4, atol=1e-5)


def test_a_few_images_make_the_masks_of_others_better(discs, tmp_path):
    options = RunOptions(tmp_path / "run", held_out_share=0.4, views=8, validate_every_s=1e9)
    recipe = replace(
        RECIPE, steps=60, windows=4, objects=1, rounds=1, learning_rate=1e-2, ema_decay=0.9
    )
    run = Run(tiny_model(), discs, recipe, options)
    run.train()
    first, last = run.trainer.progress.curve[0], run.trainer.progress.curve[-1]
    assert last[3] > first[3] + 0.1
    assert run.trainer.progress.best == max(point[3] for point in run.trainer.progress.curve)


def test_run_that_gets_no_better_stops_early(images, tmp_path):
    options = RunOptions(tmp_path, held_out_share=0.3, views=4, validate_every_s=0, patience=2)
    run = Run(tiny_model(), images, replace(RECIPE, steps=500, learning_rate=0.0), options)
    run.train()
    assert run.trainer.progress.step < 100


def test_held_out_images_are_never_trained_on(images, tmp_path, monkeypatch):
    read = set()
    monkeypatch.setattr(windows, "load_labelled", windows.load_labelled)
    options = RunOptions(tmp_path, held_out_share=0.3, views=4)
    run = Run(tiny_model(), images, RECIPE, options)
    held_out = {image.path.name for image in run.held_out}
    original = windows.load_image

    def watched(path):
        read.add(path.name)
        return original(path)

    monkeypatch.setattr(windows, "load_image", watched)
    while run.trainer.done < 1:
        run.trainer.train_step(run._feed)
    assert read
    assert not read & held_out
    run._validate()
    assert read & held_out


def test_an_image_is_held_out_by_its_name_whatever_else_is_there(images):
    learnt, held_out = split(images, 0.3)
    assert held_out == [image for image in images if is_held_out(image, 0.3)]
    learnt_again, held_out_again = split(images[2:], 0.3)
    assert all(image in held_out for image in held_out_again)
    assert all(image in learnt for image in learnt_again)


def test_too_few_images_are_refused_with_their_number(images):
    with pytest.raises(TrainingError, match=r"1 images with objects leave .* change --val"):
        split(images[:1], 0.3)


def test_folder_of_another_run_is_refused(images, tmp_path):
    options = RunOptions(tmp_path, held_out_share=0.3)
    Run(tiny_model(), images, RECIPE, options)
    with pytest.raises(TrainingError, match="another recipe; give another --folder"):
        Run(tiny_model(), images, replace(RECIPE, seed=5), options)


def test_first_prompts_are_what_a_person_gives():
    y, x = np.mgrid[0:64, 0:64]
    mask = np.hypot(x - 30, y - 25) < 12
    styles = set()
    for seed in range(200):
        points, kinds = first_prompt(np.random.default_rng(seed), mask)
        given = kinds[kinds != UNUSED]
        styles.add(tuple(sorted(given.tolist())))
        assert (PADDING in given) == (2 not in given)
        for (px, py), kind in zip(points.astype(int), kinds, strict=True):
            if kind in (POSITIVE, NEGATIVE):
                assert mask[py, px] == (kind == POSITIVE)
        assert (kinds >= POSITIVE).any()
    assert len(styles) >= 6


def test_loose_boxes_stay_on_the_image_and_near_the_object():
    mask = np.zeros((40, 50), bool)
    mask[2:12, 38:50] = True
    for seed in range(100):
        x0, y0, x1, y1 = loose_box(np.random.default_rng(seed), mask)
        assert 0 <= x0 < x1 <= 50
        assert 0 <= y0 < y1 <= 40
        assert abs(x0 - 38) < 6
        assert abs(y1 - 12) < 6


def test_beside_is_near_and_not_on_the_object():
    mask = np.zeros((40, 40), bool)
    mask[18:22, 18:22] = True
    around = beside(mask)
    assert not (around & mask).any()
    assert around[16, 16]
    assert not around[0, 0]


def test_kill_minus_nine_costs_no_more_than_the_steps_since_the_last_save(coco, tmp_path):
    """The process dies by SIGKILL in the middle of a save as often as not; the file stays whole."""
    program = f"""
import torch
from pathlib import Path
from test_trainer import RECIPE, tiny_model
from mobilesam.coco_instances import CocoImage, read_instances
from mobilesam.training.feed import WindowFeed
from mobilesam.training.trainer import Trainer
from dataclasses import replace
torch.set_num_threads(1)
coco = Path({str(coco)!r})
images = read_instances(coco, coco.with_name("images"))
feed = WindowFeed(images, input_size=64, objects=2, seed=0)
trainer = Trainer(tiny_model(), replace(RECIPE, steps=10_000), Path({str(tmp_path)!r}), "cpu")
print(trainer.progress.step, flush=True)
while True:
    trainer.train_step(feed)
    trainer.save()
    print(trainer.progress.step, flush=True)
"""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parent)]),
    }
    saved = 0
    for _ in range(2):
        child = subprocess.Popen(
            [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True
        )
        assert int(child.stdout.readline()) >= saved
        for _ in range(3):
            saved = int(child.stdout.readline())
        time.sleep(0.01)
        child.send_signal(signal.SIGKILL)
        child.communicate()
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert state["progress"]["step"] >= saved


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param("[]", "is no COCO instances file", id="a-list"),
        pytest.param("{", "is no COCO instances file", id="no-json"),
        pytest.param('{"images": [{"id": 1}], "annotations": []}', "file_name", id="no-names"),
    ],
)
def test_bad_coco_files_are_named(content, words, tmp_path):
    file = tmp_path / "instances.json"
    file.write_text(content)
    with pytest.raises(ImageError, match=words) as error:
        read_instances(file, tmp_path)
    assert str(file) in str(error.value)


def test_mask_of_another_size_is_named(images):
    wrong = replace(images[0], size_hw=(10, 10))
    with pytest.raises(ImageError, match=r"object 1 of .*png has a mask of 192 x 160 px"):
        wrong.mask(0)


def test_broken_segmentation_is_named(images):
    wrong = replace(images[0], segmentations=([[1, 2]],))
    with pytest.raises(ImageError, match="neither polygons nor RLE"):
        wrong.mask(0)
