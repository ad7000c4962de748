"""The filter is Pillow's."""

import tracemalloc

import numpy as np
import pytest
from PIL import Image

from mobilesam.images import banded_resize
from mobilesam.images.banded_resize import BAND_PIXELS, resize_bilinear
from mobilesam.images.resize import resized_hw


def random_image(size_hw, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*size_hw, 3), np.uint8)


def pillows(image, size_hw):
    resized = Image.fromarray(image).resize(size_hw[::-1], Image.Resampling.BILINEAR)
    return np.asarray(resized)


@pytest.mark.parametrize(
    ("size_hw", "to_hw"),
    [
        pytest.param((300, 400), (192, 256), id="small"),
        pytest.param((2301, 3403), (692, 1024), id="bands"),
        pytest.param((3500, 2000), (1024, 585), id="upright"),
        pytest.param((2400, 2500), (2400, 2500), id="same-size"),
        pytest.param((12, BAND_PIXELS), (1, 1024), id="one-row-a-band"),
        pytest.param((12, BAND_PIXELS + 1), (1, 1024), id="rows-wider-than-a-band"),
    ],
)
def test_image_is_pillows_to_the_bit(size_hw, to_hw):
    image = random_image(size_hw)
    resized = resize_bilinear(image, to_hw)
    np.testing.assert_array_equal(resized, pillows(image, to_hw))
    assert resized.flags.c_contiguous


@pytest.fixture
def all_are_large(monkeypatch):
    monkeypatch.setattr(banded_resize, "LARGE_PIXELS", 1)
    monkeypatch.setattr(banded_resize, "BAND_PIXELS", 2000)


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.usefixtures("all_are_large")
def test_image_that_keeps_its_proportions_is_pillows_to_the_bit(seed):
    rng = np.random.default_rng(seed)
    height = int(rng.integers(2, 300))
    width = int(rng.integers((height + 1) // 2 + 1, 500))
    image = random_image((height, width), seed)
    to_hw = resized_hw((height, width), int(rng.integers(1, max(height, width))))
    np.testing.assert_array_equal(resize_bilinear(image, to_hw), pillows(image, to_hw))


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.usefixtures("all_are_large")
def test_any_image_is_pillows_within_a_grey_level(seed):
    height, width, to_height, to_width = np.random.default_rng(seed).integers(1, 300, 4)
    image = random_image((height, width), seed)
    to_hw = (int(to_height), int(to_width))
    difference = resize_bilinear(image, to_hw).astype(int) - pillows(image, to_hw)
    assert np.abs(difference).max() <= 1


@pytest.mark.usefixtures("all_are_large")
def test_view_of_a_larger_image_is_taken():
    view = random_image((200, 300))[::-1, 20:220]
    np.testing.assert_array_equal(
        resize_bilinear(view, (50, 60)), pillows(np.ascontiguousarray(view), (50, 60))
    )


def test_large_image_is_not_copied_as_a_whole():
    image = np.zeros((4000, 3000, 3), np.uint8)
    tracemalloc.start()
    try:
        resize_bilinear(image, (1024, 768))
        assert tracemalloc.get_traced_memory()[1] < image.nbytes
    finally:
        tracemalloc.stop()
