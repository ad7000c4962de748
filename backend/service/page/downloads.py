"""Accepted objects as the files that the page offers."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_masks

from backend.codecs.coco_rle import encode_rows
from backend.codecs.run_lengths import require_runs
from backend.core.errors import RequestTooLargeError
from backend.label_studio.projects import LABELING_CONFIG
from backend.labeling.parse_config import parse_labeling_config
from backend.labeling.regions import labelled_results, mask_shapes
from backend.service.page.bodies import DrawnImage, DrawnObject

MAX_DRAWN_PIXELS = 400_000_000  # of one download; 5 s of work
LABEL = "Object"  # the first one of LABELING_CONFIG


def png_file(image: DrawnImage) -> bytes:
    """Make a PNG of 8 bits of grey: 255 where any object is, else 0."""
    covered = np.zeros(image.size_hw, np.uint8)
    for _, rows, top in _drawn(image):
        covered[top : top + len(rows)][rows] = 255
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
    for item, rows, top in _drawn(image):
        mask = np.zeros(image.size_hw, np.bool_)
        mask[top : top + len(rows)] = rows
        common = {
            "id": uuid4().hex,
            "to_name": control.to_name,
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "score": item.score,
            "origin": "manual",
        }
        for shape in mask_shapes(mask, control.output, polygon_tolerance_px=0):
            results += labelled_results(control, common, shape, (LABEL,))
    return [{"data": {"image": image.name}, "annotations": [{"result": results}]}]


def coco_instances(image: DrawnImage) -> dict[str, Any]:
    """Make a COCO instances file: one image, run lengths for each object, every pixel kept."""
    height, width = image.size_hw
    annotations = []
    for number, (item, rows, top) in enumerate(_drawn(image), start=1):
        rle = encode_rows(rows, top=top, height=height)
        annotations.append(
            {
                "id": number,
                "image_id": 1,
                "category_id": 1,
                "segmentation": rle,
                "area": int(coco_masks.area(rle)),
                "bbox": [float(number) for number in coco_masks.toBbox(rle)],
                "iscrowd": 0,
                "score": item.score,
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


def _drawn(image: DrawnImage) -> Iterator[tuple[DrawnObject, NDArray[np.bool_], int]]:
    """Draw one object's mask after the other: all of them at once would be gigabytes.

    Returns:
        Each object, the rows that it covers (H, W), and the first of them in the image.

    Raises:
        RunLengthError: runs that do not fill the image.
        RequestTooLargeError: more pixels in all than are drawn for one download.
    """
    width = image.size_hw[1]
    drawn = 0
    for item in image.objects:
        require_runs(item.runs, *image.size_hw)
        ends = np.cumsum(np.asarray(item.runs, np.int64))
        starts, ends = ends[:-1:2], ends[1::2]  # of the runs that are on
        is_there = ends > starts
        starts, ends = starts[is_there], ends[is_there]
        top, bottom = (int(starts[0]) // width, -(-int(ends[-1]) // width)) if len(ends) else (0, 0)
        drawn += (bottom - top) * width
        if drawn > MAX_DRAWN_PIXELS:
            raise RequestTooLargeError(
                f"the objects cover rows of more than {MAX_DRAWN_PIXELS} pixels in all",
                remedy="download fewer of them at once",
                reason="Too many pixels in one download",
            )
        changes = np.zeros((bottom - top) * width + 1, np.int8)
        np.add.at(changes, starts - top * width, 1)
        np.add.at(changes, ends - top * width, -1)
        yield item, np.cumsum(changes[:-1], dtype=np.int8).astype(bool).reshape(-1, width), top
