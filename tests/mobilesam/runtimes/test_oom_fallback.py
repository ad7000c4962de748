"""A GPU that is full, played: its runtime refuses as torch does when CUDA has no memory left."""

import logging

import numpy as np
import pytest
import torch

from mobilesam import DeviceError, Predictor
from mobilesam.runtimes import choice
from mobilesam.runtimes.cuda_device import FoundDevice
from mobilesam.runtimes.oom_fallback import OomFallback
from mobilesam.scenes import generate_scene

CLICK = {"points_xy": [[150, 100]], "point_labels": [1]}


class SmallGpu:
    """A runtime with room for some images at once; with none it decodes nothing either."""

    batch_size = 16

    def __init__(self, inner, room):
        self._inner = inner
        self.room = room
        self.name, self.precision, self.device = inner.name, inner.precision, inner.device
        self.encoded = []

    def encode(self, images):
        if len(images) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        self.encoded.append(len(images))
        return self._inner.encode(images)

    def decode(self, *prompt):
        if not self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB")
        return self._inner.decode(*prompt)


@pytest.fixture
def predictor():
    return Predictor("demo", device="cpu", runtime="torch")


@pytest.fixture
def images():
    return [generate_scene(10_000_000 + n, (100 + n, 90)).image for n in range(5)]


def spill(predictor, room):
    """Let a predictor run on a small GPU; returns it, and the list that gets its CPU runtimes."""
    inner, opened = predictor._runtime, []
    gpu = SmallGpu(inner, room)
    predictor._runtime = OomFallback(gpu, lambda: opened.append(inner) or inner)
    predictor.batch_size = gpu.batch_size
    return gpu, opened


def test_batch_that_does_not_fit_is_encoded_in_smaller_ones(predictor, images, caplog):
    alone = [predictor.embed(image) for image in images]
    gpu, opened = spill(predictor, room=2)
    together = predictor.embed_batch(images)
    assert gpu.encoded == [2, 1, 2]
    assert opened == []
    assert "5 images do not fit into the GPU's memory at once" in caplog.text
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(other.features, one.features, rtol=0, atol=1e-4)


def test_full_gpu_leaves_the_work_to_the_cpu_and_takes_it_back(predictor, images, caplog):
    image = generate_scene(10_000_000, (200, 300)).image
    expected = predictor.predict_object(predictor.embed(image), **CLICK)
    gpu, opened = spill(predictor, room=0)
    for _ in range(2):
        masks = predictor.predict_object(predictor.embed(image), **CLICK)
        np.testing.assert_array_equal(masks.masks, expected.masks)
    assert len(opened) == 1
    assert gpu.encoded == []
    assert "the CPU computes instead" in caplog.text
    caplog.clear()
    gpu.room = 16
    predictor.embed_batch(images)
    assert gpu.encoded == [5]
    assert caplog.records == []


def test_refining_works_on_a_full_gpu(predictor, images):
    embedding = predictor.embed(images[0])
    first = predictor.predict(embedding, **CLICK).logits[:1]
    expected = predictor.predict_object(embedding, **CLICK, mask_logits=first)
    spill(predictor, room=0)
    again = predictor.predict_object(embedding, **CLICK, mask_logits=first)
    np.testing.assert_array_equal(again.logits, expected.logits)


def test_model_that_does_not_fit_at_all_is_named_at_the_start(monkeypatch, caplog):
    def refuse(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(choice, "TorchRuntime", refuse)
    found = FoundDevice(torch.device("cuda:0"), "it was asked for")
    monkeypatch.setattr(choice, "find_device", lambda _name: found)
    with caplog.at_level(logging.WARNING), pytest.raises(DeviceError, match="or use cpu"):
        Predictor("demo", device="cuda")
