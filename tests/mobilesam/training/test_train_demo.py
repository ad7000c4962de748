import numpy as np
import pytest
import torch

from mobilesam.model.mobile_sam import SIZES
from mobilesam.model.prompt_encoder import NEGATIVE, PADDING, POSITIVE
from mobilesam.training.scene_pool import FIRST_HELD_OUT_SEED, PAINTED, ScenePool, fill_pool, vary
from mobilesam.training.train_demo import (
    Trainer,
    add_corrections,
    click_loss,
    learning_rate,
    mask_losses,
    sample_prompts,
)
from mobilesam.weights.checkpoint import load_model, save_weights

SCENES = 6
STEPS = 100


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    pool = ScenePool(tmp_path_factory.mktemp("pool") / "scenes.npy", SCENES)
    fill_pool(pool.path, SCENES, seed=0)
    return pool


def draw(pool):
    return pool.draw(np.random.default_rng(0), step=0, pictures=2, prompts=3)


def test_pool_gives_the_same_batch_for_the_same_step(pool):
    one, other = draw(pool), draw(pool)
    torch.testing.assert_close(one.pixels, other.pixels)
    np.testing.assert_array_equal(one.targets, other.targets)
    assert one.pixels.shape == (2, 3, 256, 256)
    assert one.targets.shape == (6, 256, 256)
    assert one.targets.any(axis=(1, 2)).all()


def test_pool_goes_on_where_its_painter_stopped(pool, tmp_path):
    half = ScenePool(tmp_path / "half.npy", SCENES)
    fill_pool(half.path, SCENES, seed=0)
    array = np.lib.format.open_memmap(half.path, mode="r+")
    array[3] = 0
    fill_pool(half.path, SCENES, seed=0)
    assert (half.array[:, -1, -1, -1] == PAINTED).all()
    np.testing.assert_array_equal(half.array, pool.array)


def test_training_never_sees_held_out_scenes():
    assert FIRST_HELD_OUT_SEED > 1_000_000  # seeds of one run: seed * 1,000,000 + index


def test_variations_keep_objects_where_their_pixels_are(pool):
    """An object's colour is even enough that its pixels must vary less than the whole picture."""
    for index in range(SCENES):
        image, owner = vary(np.random.default_rng(index), pool.array[index])
        for number in np.unique(owner[owner > 0]):
            inside = image[:, owner == number]
            assert inside.std(axis=1).mean() < 1.2 * image.std(axis=(1, 2)).mean()


def test_first_prompts_lie_where_they_say(pool):
    batch = draw(pool)
    for seed in range(20):
        points, kinds, seeds = sample_prompts(np.random.default_rng(seed), batch)
        assert seeds.shape == (2, 3)
        for row, target in enumerate(batch.targets):
            assert (kinds[row] != PADDING).any()
            for (x, y), kind in zip(points[row].int().tolist(), kinds[row].tolist(), strict=True):
                if kind in (POSITIVE, NEGATIVE):
                    assert target[y, x] == (kind == POSITIVE)


def test_corrections_are_put_on_what_is_wrong(pool):
    batch = draw(pool)
    rows = torch.arange(6)
    points, kinds = torch.zeros(6, 5, 2), torch.full((6, 5), PADDING)
    everything = torch.full((6, 64, 64), 5.0)
    points, kinds = add_corrections(
        np.random.default_rng(0), batch, rows, everything, points, kinds
    )
    assert (kinds[:, 0] == NEGATIVE).all()
    for row, target in enumerate(batch.targets):
        x, y = points[row, 0].int().tolist()
        assert not target[y, x]


def test_losses_are_lower_for_better_masks():
    wanted = torch.zeros(1, 128, 128)
    wanted[:, 30:90, 40:100] = 1
    right = (wanted[:, None, ::2, ::2] * 2 - 1) * 6
    assert mask_losses(right, wanted) < 0.2 < mask_losses(-right, wanted)
    points, kinds = (
        torch.tensor([[[120.0, 100.0], [5.0, 5.0]]]),
        torch.tensor([[POSITIVE, NEGATIVE]]),
    )
    assert click_loss(right, points, kinds) < 0.1 < click_loss(-right, points, kinds)


def test_learning_rate_rises_and_then_falls():
    rates = [learning_rate(step, 5000) for step in range(5001)]
    peak = int(np.argmax(rates))
    assert 200 < peak < 400
    assert rates[0] < 0.01 * rates[peak]
    assert rates[-1] == pytest.approx(0.01 * rates[peak])


def test_stopped_run_goes_on_as_if_it_had_not_stopped(pool, tmp_path, monkeypatch):
    monkeypatch.setattr("mobilesam.training.train_demo.SCENES_PER_STEP", 2)
    monkeypatch.setattr("mobilesam.training.train_demo.PROMPTS_PER_SCENE", 2)
    whole = Trainer(tmp_path / "whole", STEPS, seed=3, device="cpu")
    losses = [whole.train_step(pool) for _ in range(2)]
    (tmp_path / "stopped").mkdir()
    first = Trainer(tmp_path / "stopped", STEPS, seed=3, device="cpu")
    assert first.train_step(pool) == pytest.approx(losses[0], rel=1e-3)
    first.save()
    second = Trainer(tmp_path / "stopped", STEPS, seed=3, device="cpu")
    assert second.step == 1
    assert second.train_step(pool) == pytest.approx(losses[1], rel=1e-2)

    out = tmp_path / "weights" / "demo.pt"
    save_weights(second.averaged_model, "demo", out)
    assert load_model(out).sizes == SIZES["demo"]
