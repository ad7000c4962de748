"""Rings of points to masks, as readers of COCO fill them: the inverse of `mask_polygons`."""

import numpy as np
from pycocotools import mask as coco_mask


def polygons_mask(rings, size_hw):
    """Fill rings (N, 2) of x, y in pixels: (H, W), True inside at least one of them."""
    if not rings:
        return np.zeros(size_hw, np.bool_)
    flat = [ring.ravel().tolist() for ring in rings]
    return coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(flat, *size_hw))).astype(np.bool_)
