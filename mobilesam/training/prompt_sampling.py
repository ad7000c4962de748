"""Prompts as an annotator would give them for a known mask, for training and for evaluation."""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from mobilesam.mask_geometry import Mask, Point, bounding_box, central_point


def random_point(rng: Generator, mask: Mask) -> Point:
    """Return any pixel (x, y) of a mask (H, W) that is not empty."""
    flat = np.flatnonzero(mask)
    row, column = np.unravel_index(flat[rng.integers(len(flat))], mask.shape)
    return float(column), float(row)


def loose_box(rng: Generator, mask: Mask) -> NDArray[np.float64]:
    """Return a box as a hurried hand drags it: each side off by up to a tenth of the size."""
    box = bounding_box(mask)
    width, height = box[2] - box[0], box[3] - box[1]
    off = rng.normal(0, 0.05, 4) * np.array([width, height, width, height])
    limit = np.array([mask.shape[1], mask.shape[0]] * 2)
    return np.clip(box + np.clip(off, -10, 10), 0, limit)


def correcting_point(
    rng: Generator, predicted: Mask, wanted: Mask, *, central: bool
) -> tuple[Point, bool] | None:
    """Return the next click that an annotator would add, and whether it is a positive one.

    Args:
        rng: source of randomness.
        predicted: (H, W), the mask on the screen.
        wanted: (H, W), the mask it should be.
        central: click the deepest pixel of what is wrong, else any pixel of it.

    Returns:
        None if nothing is wrong.
    """
    missing, surplus = wanted & ~predicted, predicted & ~wanted
    positive = missing.sum() >= surplus.sum()
    wrong = missing if positive else surplus
    if not wrong.any():
        return None
    point = central_point(wrong) if central else random_point(rng, wrong)
    return point, bool(positive)
