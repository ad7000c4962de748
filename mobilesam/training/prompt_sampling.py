"""Prompts as an annotator would give them for a known mask, for training and for evaluation."""

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from mobilesam.mask_geometry import Mask, Point, bounding_box, central_point, random_point
from mobilesam.model.prompt_encoder import (
    BOX_BOTTOM_RIGHT,
    BOX_TOP_LEFT,
    NEGATIVE,
    PADDING,
    POSITIVE,
)

UNUSED = -2  # a token that only fills up the fixed shape; nothing attends to it
TOKENS = 8  # of a prompt: clicks, corrections, and two corners or one padding
BOX_SHARE = 0.45  # of first prompts
LOOSEST = 0.12  # of a box's side: the largest standard deviation of a corner
NEAR = 0.3  # of an object's long side: a first negative click is not further away


def loose_box(rng: Generator, mask: Mask) -> NDArray[np.float64]:
    """Return a box as people drag it, from tight to hurried, within the image (H, W)."""
    box = bounding_box(mask)
    width, height = box[2] - box[0], box[3] - box[1]
    spread = LOOSEST * rng.random() ** 2  # most are nearly tight
    off = rng.normal(0, spread, 4) * np.array([width, height, width, height])
    limit = np.array([mask.shape[1], mask.shape[0]] * 2)
    moved = np.clip(box + off, 0, limit)
    is_box = moved[2] > moved[0] + 1 and moved[3] > moved[1] + 1
    return np.asarray(moved if is_box else box)


def first_prompt(rng: Generator, mask: Mask) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Draw how a person starts on an object: a click (mostly off its centre), a box, or a few.

    Returns:
        points (TOKENS, 2) in pixels and their kinds (TOKENS,), with the padding token that the
        predictor adds where there is no box; what is left is `UNUSED`.
    """
    points, kinds = np.zeros((TOKENS, 2), np.float32), np.full(TOKENS, UNUSED)
    style = rng.random()
    if style < BOX_SHARE:
        x0, y0, x1, y1 = loose_box(rng, mask)
        given = [((x0, y0), BOX_TOP_LEFT), ((x1, y1), BOX_BOTTOM_RIGHT)]
        if rng.random() < 0.1:
            given.insert(0, (random_point(rng, mask), POSITIVE))
    else:
        click = central_point(mask) if rng.random() < 0.3 else random_point(rng, mask)
        given = [(click, POSITIVE), ((0.0, 0.0), PADDING)]
        if rng.random() < 0.12:
            given.append((random_point(rng, mask), POSITIVE))
    if rng.random() < 0.08:
        around = beside(mask)
        if around.any():
            given.insert(0, (random_point(rng, around), NEGATIVE))
    for slot, (point, kind) in enumerate(given):
        points[slot], kinds[slot] = point, kind
    return points, kinds


def beside(mask: Mask) -> Mask:
    """Return the pixels near an object (H, W) that are not its own."""
    x0, y0, x1, y1 = bounding_box(mask)
    reach = 2 * round(NEAR * max(x1 - x0, y1 - y0)) + 3
    grown = cv2.dilate(mask.view(np.uint8), np.ones((reach, reach), np.uint8))
    return np.asarray(grown.astype(bool) & ~mask)


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
