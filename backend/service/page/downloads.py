"""Accepted objects as the files that the page offers."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_masks

from backend.codecs.coco_rle import encode_rle
from backend.codecs.run_lengths import decode_runs
from backend.label_studio.projects import LABELING_CONFIG
from backend.labeling.parse_config import parse_labeling_config
from backend.labeling.regions import labelled_results, mask_shapes
from backend.service.page.bodies import DrawnImage

LABEL = "Object"  # the first one of LABELING_CONFIG


def png_file(image: DrawnImage) -> bytes:
    """Make a PNG of 8 bits of grey: 255 where any object is, else 0."""
    covered = np.zeros(image.size_hw, np.uint8)
    for mask, _ in _masks(image):
        covered[mask] = 255
    _, file = cv2.imencode(".png", covered)
    return file.tobytes()


def label_studio_tasks(image: DrawnImage) -> list[dict[str, Any]]:
    """Make a task to import into a project with the demo's labeling config.

    Each object is a brush region of its annotation. `data.image` is the file's name; whoever
    imports it puts an address there that Label Studio can show, as the page does.
    """
    control = parse_labeling_config(LABELING_CONFIG).mask_control("image", (LABEL,), output="brush")
    height, width = image.size_hw
    results: list[dict[str, Any]] = []
    for mask, score in _masks(image):
        common = {
            "id": uuid4().hex,
            "to_name": control.to_name,
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "score": score,
            "origin": "manual",
        }
        for shape in mask_shapes(mask, control.output, polygon_tolerance_px=0):
            results += labelled_results(control, common, shape, (LABEL,))
    return [{"data": {"image": image.name}, "annotations": [{"result": results}]}]


def coco_instances(image: DrawnImage) -> dict[str, Any]:
    """Make a COCO instances file: one image, run lengths for each object, every pixel kept."""
    height, width = image.size_hw
    annotations = []
    for number, (mask, score) in enumerate(_masks(image), start=1):
        rle = encode_rle(mask)
        annotations.append(
            {
                "id": number,
                "image_id": 1,
                "category_id": 1,
                "segmentation": rle,
                "area": int(coco_masks.area(rle)),
                "bbox": [float(number) for number in coco_masks.toBbox(rle)],
                "iscrowd": 0,
                "score": score,
            }
        )
    return {
        "info": {"description": f"Masks on {image.name}, made with MobileSAM"},
        "licenses": [],
        "categories": [{"id": 1, "name": LABEL}],
        "images": [{"id": 1, "file_name": image.name, "height": height, "width": width}],
        "annotations": annotations,
    }


JSON_FILES: dict[str, Callable[[DrawnImage], Any]] = {
    "label-studio": label_studio_tasks,
    "coco": coco_instances,
}


def _masks(image: DrawnImage) -> Iterator[tuple[NDArray[np.bool_], float]]:
    """Draw one object's mask after the other: all of them at once would be gigabytes."""
    for item in image.objects:
        yield decode_runs(item.runs, *image.size_hw), item.score
