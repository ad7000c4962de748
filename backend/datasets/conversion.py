"""One labelled task -> the COCO images and annotations that it gives."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pycocotools import mask as coco_masks

from backend.codecs.coco_rle import Rle, decode_rle, fill_rings
from backend.codecs.polygons import mask_polygons
from backend.core.errors import DatasetError, ImageError, MaskError, RegionError
from backend.datasets.annotation_choice import AnnotationChoice, Standing
from backend.datasets.image_addresses import TaskImage
from backend.datasets.image_fields import ImageFields, Place, is_on
from backend.datasets.image_files import FoundImage, ImageFiles
from backend.datasets.labelled_regions import SHAPES, LabelledRegion, finite, read_regions
from backend.datasets.labelled_tasks import LabelledTask
from backend.datasets.region_shapes import (
    DECIMALS,
    has_ring,
    key_point_xy,
    region_ring,
    region_rle,
)

NOT_ANNOTATED = "images that nobody has annotated, exported without masks (see --annotated-only)"
UNLABELED = "unlabeled"  # the category of regions without a label


_Annotated = tuple[LabelledRegion, Mapping[str, Any]]  # a region, and the annotation it is of


@dataclass(frozen=True)
class RegionRules:
    """How regions leave.

    Args:
        shapes: those that do.
        polygons: whether areas are polygons instead of run lengths.
        tolerance_px: how far a polygon's outline may be from the mask's.
        alpha: pixels of brushes and bitmasks whose alpha is greater are the object.
        max_pixels: largest mask that is drawn.
    """

    shapes: frozenset[str] = frozenset(SHAPES)
    polygons: bool = False
    tolerance_px: float = 1.0
    alpha: int = 127
    max_pixels: int = 100_000_000


@dataclass(frozen=True)
class Problem:
    """What could not be exported, and why."""

    task_id: int | None
    reason: str

    def __str__(self) -> str:
        return self.reason if self.task_id is None else f"task {self.task_id}: {self.reason}"


@dataclass(frozen=True)
class ConvertedImage:
    """One image with its annotations, as COCO has them but for `id`, `image_id` and category:

    `label` stands where `category_id` will.
    """

    image: TaskImage
    found: FoundImage
    annotations: list[dict[str, Any]]


@dataclass
class ConvertedTask:
    """All that a task gives. `left_aside` counts what was left out on purpose, by reason."""

    images: list[ConvertedImage] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    left_aside: Counter[str] = field(default_factory=Counter)


class TaskConverter:
    """Converts tasks. Safe under threads.

    Args:
        choice: which annotations count.
        fields: where a task's images are.
        files: looks at the image files.
        rules: how regions leave.
        annotated_only: whether images that nobody has annotated yet stay behind.
    """

    def __init__(
        self,
        choice: AnnotationChoice,
        fields: ImageFields,
        files: ImageFiles,
        rules: RegionRules,
        *,
        annotated_only: bool,
    ) -> None:
        self._choice = choice
        self._fields = fields
        self._files = files
        self._rules = rules
        self._annotated_only = annotated_only

    def convert(self, task: LabelledTask | DatasetError) -> ConvertedTask:
        """Convert a task; what cannot be exported becomes a problem, and the rest goes on.

        Args:
            task: to be converted, or why it could not be read.
        """
        converted = ConvertedTask()
        if isinstance(task, DatasetError):
            converted.problems.append(Problem(None, str(task)))
            return converted
        standing, annotations = self._choice.choose(task)
        if standing is Standing.LEFT_OUT:
            converted.left_aside["tasks skipped, or without an annotation that counts"] += 1
            return converted
        if standing is Standing.NOT_ANNOTATED:
            if self._annotated_only:
                converted.left_aside["images that nobody has annotated"] += 1
                return converted
            converted.left_aside[NOT_ANNOTATED] += 1
        regions = list(self._regions(task, annotations, converted))
        try:
            images, missing = self._fields.images(task, [region for region, _ in regions])
        except DatasetError as error:
            converted.problems.append(Problem(task.id, str(error)))
            return converted
        converted.problems += [Problem(task.id, f"there is no image in {key!r}") for key in missing]
        by_place: dict[Place, list[_Annotated]] = {place: [] for place in images}
        for region, annotation in regions:
            place = next((found for found in images if is_on(region, found)), None)
            if place is not None:
                by_place[place].append((region, annotation))
            else:
                fault = region.fault(
                    f"the task has no image {region.to_name!r}, page {region.item_index}"
                )
                converted.problems.append(Problem(task.id, str(fault)))
        for place, image in images.items():
            self._convert_image(image, by_place[place], converted)
        return converted

    def _regions(
        self, task: LabelledTask, annotations: Sequence[Mapping[str, Any]], converted: ConvertedTask
    ) -> Iterator[_Annotated]:
        for annotation in annotations:
            for region in read_regions(annotation.get("result")):
                if isinstance(region, RegionError):
                    converted.problems.append(Problem(task.id, str(region)))
                elif region.is_prompt:
                    converted.left_aside["clicks of smart tools that were saved as key points"] += 1
                elif region.shape not in self._rules.shapes:
                    converted.left_aside[f"{region.shape} regions, by --shapes"] += 1
                else:
                    yield region, annotation

    def _convert_image(
        self,
        image: TaskImage,
        regions: Sequence[_Annotated],
        converted: ConvertedTask,
    ) -> None:
        # What most regions say: one that was drawn on a thumbnail is the odd one.
        sizes = Counter(region.size_hw for region, _ in regions)
        size_hw = sizes.most_common(1)[0][0] if sizes else image.size_hw
        try:
            found = self._files.find(image, size_hw)
        except ImageError as error:
            if size_hw is None:
                why = f"the size of its image is not known: {error}; or give --image-root"
            else:
                why = str(error)
            converted.problems.append(Problem(image.task_id, why))
            return
        annotations: list[dict[str, Any]] = []
        for region, annotation in regions:
            try:
                for one in self._annotations(region, annotation, found.size_hw):
                    json.dumps(one, allow_nan=False)  # nothing that is no JSON is ever written
                    annotations.append(one)
            except (RegionError, MaskError) as error:
                converted.problems.append(Problem(image.task_id, str(error)))
            except Exception as error:  # noqa: BLE001 - one odd region must not end an export
                fault = region.fault(f"it cannot be converted ({error!r})")
                converted.problems.append(Problem(image.task_id, str(fault)))
        converted.images.append(ConvertedImage(image, found, annotations))

    def _annotations(
        self, region: LabelledRegion, annotation: Mapping[str, Any], size_hw: tuple[int, int]
    ) -> Iterator[dict[str, Any]]:
        """Make a region's COCO annotation; one for each label where it has several."""
        if region.size_hw != size_hw:
            drawn_on, this = _times(region.size_hw), _times(size_hw)
            raise region.fault(f"it was drawn on {drawn_on} pixels, the image has {this}")
        shape = self._key_point(region) if region.shape == "keypoint" else self._area(region)
        score = region.score if region.score is not None else finite(annotation.get("score"))
        annotation_id = annotation.get("id")
        more: dict[str, Any] = {
            "annotation_id": annotation_id if isinstance(annotation_id, int | str) else None,
            "region_id": region.id,
        }
        if score is not None:
            more["score"] = score
        for label in region.labels or (UNLABELED,):
            yield {"label": label, **shape, **more}

    def _key_point(self, region: LabelledRegion) -> dict[str, Any]:
        x, y = key_point_xy(region)
        return {
            "segmentation": [],
            "area": 0,
            "bbox": [x, y, 0, 0],
            "iscrowd": 0,
            "keypoints": [x, y, 2],  # 2: labelled and visible
            "num_keypoints": 1,
        }

    def _area(self, region: LabelledRegion) -> dict[str, Any]:
        rle = region_rle(region, alpha=self._rules.alpha, max_pixels=self._rules.max_pixels)
        segmentation: Any = rle
        if coco_masks.area(rle) == 0:
            raise region.fault("it covers no pixel")
        is_crowd = int(region.coco.get("iscrowd") == 1)  # crowds are run lengths, by the format
        if self._rules.polygons and not is_crowd:
            segmentation = self._rings(region, rle)
            rle = fill_rings(segmentation, region.size_hw)
        return {
            "segmentation": segmentation,
            "area": int(coco_masks.area(rle)),
            "bbox": [float(number) for number in coco_masks.toBbox(rle)],
            "iscrowd": is_crowd,
        }

    def _rings(self, region: LabelledRegion, rle: Rle) -> list[list[float]]:
        if has_ring(region):
            return [region_ring(region)]
        mask = decode_rle(rle, region.size_hw, max_pixels=self._rules.max_pixels)
        mask = np.ascontiguousarray(mask)
        for tolerance_px in (self._rules.tolerance_px, 0):
            rings = [
                [round(float(number), DECIMALS) for number in ring.ravel()]
                for ring in mask_polygons(mask, tolerance_px=tolerance_px)
            ]
            if coco_masks.area(fill_rings(rings, region.size_hw)):
                break  # else the object is smaller than the tolerance
        return rings


def _times(size_hw: tuple[int, int]) -> str:
    return f"{size_hw[1]} x {size_hw[0]}"
