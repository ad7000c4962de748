"""Geometry of one mask: its box, the point deep inside it, its overlap with another."""

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Point = tuple[float, float]


def bounding_box(mask: Mask) -> NDArray[np.float64]:
    """Return x0, y0, x1, y1 in pixels around a mask (H, W); x1, y1 are the far edges."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float64)


def central_point(mask: Mask) -> Point:
    """Return the pixel (x, y) of a mask (H, W) that lies deepest inside, where people click."""
    depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    row, column = np.unravel_index(np.argmax(depth), mask.shape)
    return float(column), float(row)


def random_point(rng: Generator, mask: Mask) -> Point:
    """Return any pixel (x, y) of a mask (H, W) that is not empty."""
    flat = np.flatnonzero(mask)
    row, column = np.unravel_index(flat[rng.integers(len(flat))], mask.shape)
    return float(column), float(row)


def intersection_over_union(a: Mask, b: Mask) -> float:
    """Return |a and b| / |a or b| of two masks (H, W); 1 for two empty ones."""
    union = np.count_nonzero(a | b)
    return float(np.count_nonzero(a & b) / union) if union else 1.0
