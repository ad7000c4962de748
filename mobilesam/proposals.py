"""Automatic mask generation: a grid of clicks, confident masks, non-maximum suppression.

Source: Segment Anything (arXiv 2304.02643), section B "Automatic mask generation", and its
`automatic_mask_generator.py`: three candidates for each point of a grid, filtered by predicted IoU
and by stability, duplicates suppressed. Different here: masks are filtered at low resolution and
only the remaining ones upsampled; suppression compares masks and not only boxes; a mask that covers
nearly the whole image is background.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from mobilesam.errors import PromptError
from mobilesam.images.resize import LOGITS_SIZE, resized_hw
from mobilesam.mask_geometry import bounding_box
from mobilesam.masks import Masks
from mobilesam.predictor import Embedding, Predictor

POINTS_PER_SIDE = 16
MOST_POINTS_PER_SIDE = 64
# Least predicted IoU and stability: as published, and for the demo weights, whose small logits are
# less sure of themselves: the published ones would find a third of what these do.
THRESHOLDS = {"demo": (0.7, 0.85)}
PUBLISHED_THRESHOLDS = (0.88, 0.95)
STABILITY_OFFSET = 1.0  # of the logits, to either side of their threshold
# Boxes of duplicates overlap at least so much; a cheap first look. The masks decide.
LEAST_BOX_IOU = 0.3
MAX_MASK_IOU = 0.5  # with 0.7 a quarter more came, and no object more was found
LEAST_AREA = 16  # of 256 x 256 cells over the model input; less is a speck
LEAST_SIDE_AT_EDGE = 3  # cells; what is thinner and lies along the image's edge is no object
LARGEST_PART = 0.9  # of the image


def propose(
    predictor: Predictor,
    embedding: Embedding,
    *,
    points_per_side: int = POINTS_PER_SIDE,
    min_score: float | None = None,
    min_stability: float | None = None,
) -> list[Masks]:
    """Segment all objects of an image, without a prompt.

    Costs a decode and at most 0.4 MB for each point; less if few candidates pass the filters.

    Args:
        predictor: decodes.
        embedding: of the image.
        points_per_side: of the grid; objects that are smaller than its cells may be missed.
        min_score: of a mask, the IoU that the model expects of it; what goes with the weights if
            not given.
        min_stability: of a mask, see `stability_scores`; likewise.

    Returns:
        One object each, K = 1, the best score first. `masks` brings one to full size and keeps it:
        let go of each where the image is large.

    Raises:
        PromptError: the grid has no point or too many, or the embedding is of another model.
    """
    if not 1 <= points_per_side <= MOST_POINTS_PER_SIDE:
        raise PromptError(
            f"points_per_side must be 1 to {MOST_POINTS_PER_SIDE}, got {points_per_side}"
        )
    least_score, least_stability = THRESHOLDS.get(predictor.weights, PUBLISHED_THRESHOLDS)
    least_score = least_score if min_score is None else min_score
    least_stability = least_stability if min_stability is None else min_stability
    height, width = resized_hw(embedding.size_hw, LOGITS_SIZE)
    logits: list[NDArray[np.float16]] = []
    scores: list[float] = []
    for point in grid_points(points_per_side, embedding.size_hw):
        found = predictor.predict(embedding, points_xy=[point], point_labels=[1], multimask=True)
        on_image = found.logits[:, :height, :width]
        is_sure = (found.scores >= least_score) & (stability_scores(on_image) >= least_stability)
        for k in np.flatnonzero(is_sure):
            if _is_object(on_image[k] > 0):
                logits.append(found.logits[k].astype(np.float16))
                scores.append(float(found.scores[k]))
    kept = suppress(np.array([one[:height, :width] > 0 for one in logits]), np.array(scores))
    return [
        Masks(
            torch.from_numpy(logits[k].astype(np.float32))[None],
            np.array([scores[k]], np.float32),
            embedding.size_hw,
            predictor.input_size,
        )
        for k in kept
    ]


def grid_points(points_per_side: int, size_hw: tuple[int, int]) -> NDArray[np.float64]:
    """Return the centers of the cells of a grid over the image, (N * N, 2) x and y in pixels."""
    height, width = size_hw
    centers = (np.arange(points_per_side) + 0.5) / points_per_side
    xs, ys = np.meshgrid(centers * width, centers * height)
    return np.stack([xs.ravel(), ys.ravel()], axis=1)


def stability_scores(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Stability score of masks (K, h, w): (K,), 1 if the threshold does not matter.

    The IoU between the masks at a threshold of 1 and of -1. The one lies inside the other, so that
    it is the ratio of their areas. An empty mask has 0.
    """
    inner = (logits > STABILITY_OFFSET).sum(axis=(1, 2))
    outer = (logits > -STABILITY_OFFSET).sum(axis=(1, 2))
    return inner / np.maximum(outer, 1)


def suppress(masks: NDArray[np.bool_], scores: NDArray[np.float64]) -> list[int]:
    """Non-maximum suppression: keep one of each group of masks that overlap.

    Greedy: the best mask removes all whose IoU with it is above `MAX_MASK_IOU`. Boxes with an IoU
    below `LEAST_BOX_IOU` are not compared further.

    Args:
        masks: (N, h, w), none of them empty.
        scores: (N,).

    Returns:
        Indices of the kept masks, the best score first; ties keep their order.
    """
    if not len(masks):
        return []
    boxes = np.array([bounding_box(mask) for mask in masks])
    areas = masks.sum(axis=(1, 2))
    packed = np.packbits(masks.reshape(len(masks), -1), axis=1)
    kept: list[int] = []
    for one in np.argsort(-scores, kind="stable"):
        near = [
            k
            for k, iou in zip(kept, _box_ious(boxes[one], boxes[kept]), strict=True)
            if iou >= LEAST_BOX_IOU
        ]
        shared = np.bitwise_count(packed[near] & packed[one]).sum(axis=1, dtype=np.int64)
        if not (shared > MAX_MASK_IOU * (areas[near] + areas[one] - shared)).any():
            kept.append(int(one))
    return kept


def _is_object(mask: NDArray[np.bool_]) -> bool:
    """Whether a mask (h, w) is neither too small nor nearly the whole image."""
    area = int(mask.sum())
    if area < LEAST_AREA or area > LARGEST_PART * mask.size:
        return False
    left, top, right, bottom = bounding_box(mask)
    height, width = mask.shape
    is_at_edge = left == 0 or top == 0 or right == width or bottom == height
    return not is_at_edge or bool(min(right - left, bottom - top) >= LEAST_SIDE_AT_EDGE)


def _box_ious(box: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the IoU of a box (4,) with each of others (N, 4)."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    shared = np.maximum(sides, 0).prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod()
    ious: NDArray[np.float64] = shared / (areas - shared)
    return ious
