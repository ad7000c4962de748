"""Runs of masks, and the arithmetic that a GPU's masks take, here on the CPU."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from mobilesam import Masks
from mobilesam.images.resize import to_image_masks, to_image_masks_on_device
from mobilesam.masks import find_runs
from mobilesam.scenes import generate_scene


def pixels_of(runs):
    values = np.arange(runs.edges.size - 1) % 2 != runs.begins_true
    return np.repeat(values, np.diff(runs.edges)).reshape(runs.size_hw)


@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=9)))
def test_runs_are_the_mask(mask):
    runs = find_runs(torch.from_numpy(mask))
    assert runs.edges.dtype == np.int32
    assert runs.edges[0] == 0
    assert (np.diff(runs.edges) > 0).all()
    np.testing.assert_array_equal(pixels_of(runs), mask)
    assert runs.any() == mask.any()


def test_runs_of_a_prediction_are_its_mask(demo_predictor):
    embedding = demo_predictor.embed(generate_scene(10_000_000, (200, 300)).image)
    masks = demo_predictor.predict(embedding, points_xy=[[150, 100]], point_labels=[1])
    assert not masks.are_on_gpu
    for k in range(3):
        np.testing.assert_array_equal(pixels_of(masks.runs(k)), masks.masks[k])


@given(st.integers(0, 2**32 - 1), st.tuples(st.integers(1, 80), st.integers(1, 80)))
def test_masks_on_a_device_are_those_of_the_cpu(seed, size_hw):
    logits = torch.from_numpy(np.random.default_rng(seed).normal(size=(2, 8, 8)).astype("f4"))
    ours = to_image_masks_on_device(logits, size_hw, 32)
    theirs = to_image_masks(logits, size_hw, 32)
    assert ours.shape == theirs.shape
    assert np.count_nonzero(ours.numpy() != theirs) <= 0.01 * theirs.size + 1


@pytest.mark.parametrize("is_full", [False, True], ids=["room", "full"])
def test_runs_are_found_on_the_device_unless_it_is_full(monkeypatch, is_full):
    asked = []

    def on_device(logits, size_hw, input_size):
        asked.append(size_hw)
        if is_full:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return to_image_masks_on_device(logits, size_hw, input_size)

    monkeypatch.setattr("mobilesam.masks.to_image_masks_on_device", on_device)
    monkeypatch.setattr(Masks, "are_on_gpu", property(lambda _: True))
    logits = torch.tensor([[[-1.0, 1.0], [-1.0, 1.0]]])
    masks = Masks(logits, np.array([0.5], np.float32), (4, 4), 4)
    np.testing.assert_array_equal(pixels_of(masks.runs()), [[False, False, True, True]] * 4)
    assert set(asked) == {(4, 4)}
    assert ("masks" in vars(masks)) == is_full  # no pixels crossed
