"""COCO's JSON -> images with their annotations, each checked."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_masks

from backend.core.errors import DatasetError
from backend.datasets.region_shapes import Ring

REMEDY = "correct the COCO file"
FARTHEST = 10  # image sides that a polygon may lie outside; it is walked in fifths of a pixel


@dataclass(frozen=True)
class CocoAnnotation:
    """One object: `rings` where it is given as polygons, `rle` where as run lengths, else its box.

    `bbox` is x, y, width and height in pixels.
    """

    id: Any
    label: str
    bbox: tuple[float, float, float, float] | None
    rings: list[Ring]
    rle: dict[str, Any] | None
    is_crowd: bool
    score: float | None

    @property
    def has_mask(self) -> bool:
        """Whether it is more than a box."""
        return bool(self.rings) or self.rle is not None

    def box(self, size_hw: tuple[int, int]) -> tuple[float, float, float, float]:
        """Its bbox, or where it gives none the tight one of its mask."""
        if self.bbox is not None:
            return self.bbox
        rle = coco_masks.encode(np.asfortranarray(self.mask(size_hw), np.uint8))
        x, y, width, height = map(float, coco_masks.toBbox(rle))
        return x, y, width, height

    def mask(self, size_hw: tuple[int, int]) -> NDArray[np.bool_]:
        """The pixels that it covers, as pycocotools fills them; of a box, those inside.

        Args:
            size_hw: of the image, in pixels.

        Raises:
            DatasetError: its run lengths are damaged or of another size.
        """
        height, width = size_hw
        try:
            if self.rle is None:
                rle = coco_masks.frPyObjects(self.rings or self._box_rings(), height, width)
                rle = coco_masks.merge(rle)
            else:
                rle = self.rle
                if isinstance(rle["counts"], list):
                    rle = coco_masks.frPyObjects(rle, height, width)
            mask = np.asarray(coco_masks.decode(rle)).astype(bool)
        except (ValueError, TypeError, KeyError) as error:
            raise DatasetError(
                f"annotation {self.id} is damaged: {error}", remedy=REMEDY
            ) from error
        if mask.shape != size_hw:
            raise DatasetError(
                f"annotation {self.id} is of an image of {mask.shape[1]} x {mask.shape[0]} pixels, "
                f"its own has {width} x {height}",
                remedy=REMEDY,
            )
        return mask

    def _box_rings(self) -> list[Ring]:
        x, y, width, height = self.bbox or (0, 0, 0, 0)
        return [[x, y, x + width, y, x + width, y + height, x, y + height]]


@dataclass(frozen=True)
class CocoImage:
    """One image and its objects."""

    file_name: str
    size_hw: tuple[int, int]
    url: str | None
    annotations: list[CocoAnnotation] = field(default_factory=list)


@dataclass(frozen=True)
class CocoFile:
    """A COCO file: its categories (`id`, `name`, `supercategory`) and its images, in their order.

    `problems` says what could not be read.
    """

    categories: list[dict[str, Any]]
    images: list[CocoImage]
    problems: list[str]


def read_coco(path: Path) -> CocoFile:
    """Read a COCO instances file.

    Args:
        path: of the file.

    Raises:
        DatasetError: it is missing, no JSON, or lacks what every COCO file has.
    """
    try:
        content = json.loads(path.read_bytes())
        categories = [_category(item) for item in content["categories"]]
        images = {item["id"]: _image(item) for item in content["images"]}
        annotations = list(content["annotations"])
    except OSError as error:
        raise _no_coco(path, error.strerror or str(error)) from error
    except KeyError as error:
        raise _no_coco(path, f"{error} is missing") from error
    except (ValueError, TypeError) as error:
        raise _no_coco(path, str(error)) from error
    names = [category["name"] for category in categories]
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise _no_coco(path, f"several categories are called {', '.join(map(repr, twice))}")
    labels = {category["id"]: category["name"] for category in categories}
    problems = []
    for index, item in enumerate(annotations):
        try:
            image = images[item["image_id"]]
            image.annotations.append(_annotation(item, labels, image.size_hw))
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            name = item.get("id", index) if isinstance(item, dict) else index
            what = f"no {error}" if isinstance(error, KeyError) else str(error)
            problems.append(f"annotation {name}: {what}")
    return CocoFile(categories, list(images.values()), problems)


def _category(item: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(item["name"], str) or not item["name"].strip():
        raise ValueError(f"a category is called {item['name']!r}")
    supercategory = item.get("supercategory") or ""
    return {"id": item["id"], "name": item["name"], "supercategory": str(supercategory)}


def _image(item: Mapping[str, Any]) -> CocoImage:
    size_hw = item["height"], item["width"]
    if not isinstance(item["file_name"], str) or not item["file_name"]:
        raise ValueError(f"an image's file_name is {item['file_name']!r}")
    if not all(type(side) is int and side > 0 for side in size_hw):
        raise ValueError(f"{item['file_name']!r} has no height and width in pixels")
    url = item.get("coco_url")
    return CocoImage(item["file_name"], size_hw, url if isinstance(url, str) and url else None)


def _annotation(
    item: Mapping[str, Any], labels: Mapping[Any, str], size_hw: tuple[int, int]
) -> CocoAnnotation:
    bbox = item.get("bbox")
    segmentation = item.get("segmentation") or []
    rings: list[Ring] = []
    rle = None
    if isinstance(segmentation, dict):
        rle = _rle(segmentation)
    else:
        rings = [_ring(ring, size_hw) for ring in segmentation]
    box = None
    if bbox is not None:
        x, y, width, height = _numbers(bbox)
        if width < 0 or height < 0:
            raise ValueError(f"its bbox {list(bbox)} has a negative side")
        _require_near((x, y, x + width, y + height), size_hw)
        box = (x, y, width, height)
    elif not rings and rle is None:
        raise ValueError("it has neither segmentation nor bbox")
    score: Any = item.get("score")
    return CocoAnnotation(
        item.get("id"),
        labels[item["category_id"]],
        box,
        rings,
        rle,
        is_crowd=item.get("iscrowd") == 1,
        score=float(score) if type(score) in (int, float) else None,
    )


def _rle(segmentation: Mapping[str, Any]) -> dict[str, Any]:
    counts = segmentation["counts"]
    size = [int(side) for side in segmentation["size"]]
    if isinstance(counts, list):
        if sum(counts) != size[0] * size[1] or min(counts, default=0) < 0:
            raise ValueError(f"its run lengths do not fill {size[0]} x {size[1]} pixels")
    elif not isinstance(counts, str):
        raise TypeError("its run lengths are neither a list nor a text")
    return {"size": size, "counts": counts}


def _ring(ring: Any, size_hw: tuple[int, int]) -> Ring:
    numbers = _numbers(ring)
    if len(numbers) < 6 or len(numbers) % 2:
        raise ValueError("a polygon has not three or more pairs of numbers")
    _require_near(numbers, size_hw)
    return numbers


def _require_near(numbers: Sequence[float], size_hw: tuple[int, int]) -> None:
    if max(map(abs, numbers)) > FARTHEST * max(size_hw):
        raise ValueError("it lies far outside the image")


def _numbers(values: Sequence[Any]) -> list[float]:
    numbers = [float(value) for value in values]
    if not all(map(math.isfinite, numbers)):
        raise ValueError("a coordinate is no finite number")
    return numbers


def _no_coco(path: Path, why: str) -> DatasetError:
    return DatasetError(
        f"cannot read {str(path)!r} as a COCO file: {why}",
        remedy="give a COCO instances file with images, annotations and categories",
    )
