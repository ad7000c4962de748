"""How good masks are: mean IoU against known masks, for the prompts that annotators give.

On held-out generated scenes (seeds that no training paints), or on a COCO file.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from mobilesam.coco_instances import read_instances
from mobilesam.mask_geometry import (
    bounding_box,
    central_point,
    intersection_over_union,
    random_point,
)
from mobilesam.masks import Masks
from mobilesam.predictor import Embedding, Predictor
from mobilesam.refining import ObjectPrompt, predict_refined
from mobilesam.sam import load_image
from mobilesam.scenes import FIRST_HELD_OUT_SEED, generate_scene

Example = tuple[NDArray[np.uint8], NDArray[np.bool_]]  # image (H, W, 3), masks (N, H, W)

EDGE_PX = 2  # a click "inside an object" is at least this far from its outline
SPILL = 0.1  # of the object's area: a mask that covers more beside the object has spilled
LEAST_COCO_AREA_PX = 1024


@dataclass
class Scores:
    """IoU of every object for each prompt kind, and what negative clicks did.

    `before` and `after` are the IoU of masks that had spilled, without and with one negative click
    on the spill; `taken_away` says whether the clicked pixel left the mask.
    """

    click: list[float] = field(default_factory=list)
    box: list[float] = field(default_factory=list)
    ellipse: list[float] = field(default_factory=list)
    before: list[float] = field(default_factory=list)
    after: list[float] = field(default_factory=list)
    taken_away: list[bool] = field(default_factory=list)

    def rows(self) -> list[tuple[str, float]]:
        """Return what to print: a line's label and its number."""
        rows = [
            ("objects", float(len(self.click))),
            ("one click inside the object, mean IoU", _mean(self.click)),
            ("a box around the object, mean IoU", _mean(self.box)),
            ("(an ellipse filling that box, mean IoU)", _mean(self.ellipse)),
            ("clicks whose mask spilled", float(len(self.before))),
        ]
        if self.before:
            rows += [
                ("  negative clicks that took their pixel away", _mean(self.taken_away)),
                ("  mean IoU before the negative click", _mean(self.before)),
                ("  mean IoU after it", _mean(self.after)),
            ]
        return rows


def held_out_scenes(count: int) -> Iterator[Example]:
    """Paint scenes that were never trained on."""
    for index in range(count):
        scene = generate_scene(FIRST_HELD_OUT_SEED + index)
        yield scene.image, scene.masks


def coco_examples(instances: Path, images: Path) -> Iterator[Example]:
    """Read the images of a COCO instances file with their masks of 1024 px or more.

    Args:
        instances: the JSON file; polygons and RLE are read, crowds are not.
        images: folder that its `file_name`s are in.

    Raises:
        ImageError: the file is no such file, or an image is missing.
    """
    for image in read_instances(instances, images):
        masks = [image.mask(index) for index in range(len(image.segmentations))]
        large = [mask for mask in masks if mask.sum() >= LEAST_COCO_AREA_PX]
        if large:
            yield load_image(image.path), np.stack(large)


def evaluate(predictor: Predictor, examples: Iterable[Example]) -> Scores:
    """Prompt a model for every object of every example, with the same prompts at every run."""
    scores = Scores()
    for index, (image, masks) in enumerate(examples):
        rng = np.random.default_rng(index)
        embedding = predictor.embed(image)
        for wanted in masks:
            point = inner_point(rng, wanted)
            mask = _mask(predictor.predict_object(embedding, points_xy=[point], point_labels=[1]))
            scores.click.append(intersection_over_union(mask, wanted))
            _take_spill_away(predictor, embedding, point, mask, wanted, scores)
            box = bounding_box(wanted)
            mask = _mask(predictor.predict_object(embedding, box_xyxy=box))
            scores.box.append(intersection_over_union(mask, wanted))
            scores.ellipse.append(intersection_over_union(_ellipse(box, wanted.shape), wanted))
    return scores


def compare(
    predictor: Predictor, reference: Predictor, examples: Iterable[Example]
) -> dict[str, list[float]]:
    """Give two predictors the same prompts: one click and one box for every object.

    Returns:
        prompt kind -> IoU of the two masks of each object.
    """
    found: dict[str, list[float]] = {"click": [], "box": []}
    for index, (image, masks) in enumerate(examples):
        rng = np.random.default_rng(index)
        pairs = [(one, one.embed(image)) for one in (predictor, reference)]
        for wanted in masks:
            point, box = inner_point(rng, wanted), bounding_box(wanted)
            clicked = [
                _mask(one.predict_object(embedding, points_xy=[point], point_labels=[1]))
                for one, embedding in pairs
            ]
            boxed = [_mask(one.predict_object(embedding, box_xyxy=box)) for one, embedding in pairs]
            found["click"].append(intersection_over_union(*clicked))
            found["box"].append(intersection_over_union(*boxed))
    return found


def inner_point(rng: Generator, mask: NDArray[np.bool_]) -> tuple[float, float]:
    """Return a pixel (x, y) inside a mask (H, W) and off its outline, or the deepest one."""
    depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    inside = depth > EDGE_PX
    return random_point(rng, inside) if inside.any() else central_point(mask)


def _take_spill_away(
    predictor: Predictor,
    embedding: Embedding,
    point: tuple[float, float],
    mask: NDArray[np.bool_],
    wanted: NDArray[np.bool_],
    scores: Scores,
) -> None:
    spill = mask & ~wanted
    if spill.sum() <= SPILL * wanted.sum():
        return
    x, y = central_point(spill)
    prompt = ObjectPrompt((point, (x, y)), (1, 0))
    corrected = _mask(predict_refined(predictor, embedding, prompt))
    scores.taken_away.append(not corrected[int(y), int(x)])
    scores.before.append(intersection_over_union(mask, wanted))
    scores.after.append(intersection_over_union(corrected, wanted))


def _mask(masks: Masks) -> NDArray[np.bool_]:
    return masks.masks[0]


def _ellipse(box: NDArray[np.float64], size_hw: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return what needs no model: the ellipse that fills a box."""
    y, x = np.mgrid[0 : size_hw[0], 0 : size_hw[1]] + 0.5
    center, radius = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    inside = ((x - center[0]) / radius[0]) ** 2 + ((y - center[1]) / radius[1]) ** 2 <= 1
    return np.asarray(inside)


def _mean(values: list[float] | list[bool]) -> float:
    return float(np.mean(values)) if values else float("nan")
