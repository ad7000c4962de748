"""Images with known masks, from a COCO instances file: for training and for evaluation."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_masks

from mobilesam.errors import ImageError

Segmentation = list[list[float]] | dict[str, Any]  # polygons, or RLE


@dataclass(frozen=True)
class CocoImage:
    """One image of the file and the objects on it that are no crowds.

    `source` names the data set that a collection took it from, "" where the file does not say;
    `categories` are the objects' names, in the order of `segmentations`.
    """

    path: Path
    size_hw: tuple[int, int]
    segmentations: tuple[Segmentation, ...]
    categories: tuple[str, ...]
    source: str = ""

    def mask(self, index: int) -> NDArray[np.bool_]:
        """Decode one object, (H, W).

        Raises:
            ImageError: the segmentation is neither polygons nor RLE of this image's size.
        """
        height, width = self.size_hw
        segmentation = self.segmentations[index]
        try:
            if isinstance(segmentation, list):
                rle = coco_masks.merge(coco_masks.frPyObjects(segmentation, height, width))
            elif isinstance(segmentation["counts"], list):
                rle = coco_masks.frPyObjects(segmentation, height, width)
            else:
                rle = segmentation
            mask = np.asarray(coco_masks.decode(rle)).astype(bool)
        except Exception as error:  # pycocotools raises bare exceptions of many kinds
            raise ImageError(
                f"object {index + 1} of {self.path.name} has a segmentation that is neither "
                f"polygons nor RLE: {error!r}"
            ) from error
        if mask.shape != self.size_hw:
            raise ImageError(
                f"object {index + 1} of {self.path.name} has a mask of {mask.shape[1]} x "
                f"{mask.shape[0]} px, the image is {width} x {height} px"
            )
        return mask


def read_instances(instances: Path, images: Path) -> list[CocoImage]:
    """Read a COCO instances file; no image is opened.

    Args:
        instances: the JSON file; polygons and RLE are read, crowds are not.
        images: folder that its `file_name`s are in.

    Raises:
        ImageError: the file is no such file.
    """
    try:
        content = json.loads(instances.read_text())
        names = {one["id"]: str(one["name"]) for one in content.get("categories", [])}
        objects: dict[int, list[tuple[Segmentation, str]]] = {
            image["id"]: [] for image in content["images"]
        }
        for annotation in content["annotations"]:
            if not annotation.get("iscrowd"):
                category = names.get(annotation.get("category_id"), "")
                objects[annotation["image_id"]].append((annotation["segmentation"], category))
        return [
            CocoImage(
                path=images / image["file_name"],
                size_hw=(int(image["height"]), int(image["width"])),
                segmentations=tuple(segmentation for segmentation, _ in objects[image["id"]]),
                categories=tuple(category for _, category in objects[image["id"]]),
                source=str(image.get("source", "")),
            )
            for image in content["images"]
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ImageError(f"{instances} is no COCO instances file: {error!r}") from error
