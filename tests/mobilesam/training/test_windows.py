import cv2
import numpy as np
import pytest

from mobilesam.coco_instances import read_instances
from mobilesam.training.windows import Square, draw_square, draw_window


@pytest.fixture(scope="module")
def images(coco):
    return read_instances(coco, coco.with_name("images"))


def test_window_is_the_same_for_the_same_seed(images):
    one, other = (
        draw_window(np.random.default_rng(3), images[0], input_size=64, objects=3) for _ in "ab"
    )
    np.testing.assert_array_equal(one.pixels, other.pixels)
    np.testing.assert_array_equal(one.masks, other.masks)
    assert one.pixels.shape == (64, 64, 3)
    assert one.masks.shape == (3, 64, 64)
    assert one.masks.any(axis=(1, 2)).all()


def test_masks_stay_on_their_pixels_however_a_window_is_turned_and_cut(images):
    """What is outside the image has no pixels: neither may a mask have any there."""

    def white_objects(image):
        covered = np.any([image.mask(i) for i in range(len(image.segmentations))], axis=0)
        return np.where(covered[..., None], np.uint8(255), np.uint8(90)).repeat(3, axis=2)

    checked = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        window = draw_window(
            rng, images[seed % len(images)], input_size=64, objects=2, load=white_objects
        )
        for mask in window.masks if window else ():
            edge = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) == 1
            nearby = edge & (window.pixels != 0).any(axis=2) & ~mask
            covered = window.pixels[mask].mean()
            checked += 1
            assert window.pixels[mask].std() < 1.2, "an object of one colour"
            assert not nearby.any() or abs(covered - window.pixels[nearby].mean()) > 0.1
    assert checked > 20


def test_window_reaches_over_the_border_with_zeros():
    image = np.full((20, 30), 255, np.uint8)
    cut = Square(-10, -10, 40).cut(image, 80)
    assert cut.shape == (80, 80)
    assert not cut[:20].any()
    assert not cut[:, :20].any()
    assert (cut[20:60, 20:80] == 255).all()
    assert not cut[60:].any()


def test_windows_are_of_every_scale_and_hold_their_object(images):
    mask = images[0].mask(0)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    longest = max(np.ptp(rows), np.ptp(columns)) + 1
    squares = [draw_square(np.random.default_rng(i), mask, input_size=64) for i in range(300)]
    whole = [square for square in squares if square == Square(0, 0, 192)]
    assert 0.3 < len(whole) / len(squares) < 0.95
    sides = [square.side / longest for square in squares if square not in whole]
    assert min(sides) < 1.7
    for square in squares:
        centre = np.array([columns.mean() - square.left, rows.mean() - square.top])
        assert (centre > 0).all()
        assert (centre < square.side).all()
