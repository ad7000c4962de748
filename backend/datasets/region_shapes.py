"""Regions as COCO holds them: run lengths, polygons, key points, in pixels.

Percentages are of the image as displayed. Polygons, and the rectangles that are turned into them,
are filled as pycocotools fills them, which is what every reader of the file does.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_masks

from backend.codecs.bitmask import decode_bitmask
from backend.codecs.brush import decode_brush
from backend.datasets.labelled_regions import LabelledRegion

Rle = dict[str, Any]  # {"size": [H, W], "counts": compressed, as text}
Ring = list[float]  # x1, y1, x2, y2, ... in pixels, not closed

# A COCO coordinate that went through percent differs in its 13th digit, and pycocotools rounds at
# fifths of a pixel, where many of them lie: rounding to a millionth restores what was imported.
DECIMALS = 6
FARTHEST = 10  # image sides from the origin; an outline is walked in fifths of a pixel


def region_rle(region: LabelledRegion, *, alpha: int) -> Rle:
    """Make the run lengths of a region with an area.

    Args:
        region: any but a key point.
        alpha: of a brush or bitmask region, the pixels whose alpha is greater are the object.

    Raises:
        RegionError: the region's value is damaged.
        MaskError: its run lengths or its bitmask are.
    """
    height, width = region.size_hw
    match region.shape:
        case "brush":
            rle = region.value.get("rle")
            return mask_rle(decode_brush(rle, height, width, threshold=alpha))  # type: ignore[arg-type]
        case "bitmask":
            url = str(region.value.get("imageDataURL"))
            return mask_rle(decode_bitmask(url, height, width, threshold=alpha))
        case "ellipse":
            return mask_rle(_ellipse(region))
        case _:
            return rings_rle([region_ring(region)], region.size_hw)


def has_ring(region: LabelledRegion) -> bool:
    """Whether a region is an outline by itself, so that polygons need no tracing."""
    return region.shape in ("polygon", "rectangle")


def region_ring(region: LabelledRegion) -> Ring:
    """Return the outline of a polygon or rectangle.

    Raises:
        RegionError: its value is damaged.
    """
    height, width = region.size_hw
    if region.shape == "rectangle":
        corners = _corners(region)
    else:
        corners = np.array(_points(region)) * (width / 100, height / 100)
    if np.abs(corners).max() > FARTHEST * max(height, width):
        raise region.fault("it lies far outside the image")
    return [round(float(number), DECIMALS) for number in corners.ravel()]


def key_point_xy(region: LabelledRegion) -> tuple[float, float]:
    """Return where a key point is.

    Raises:
        RegionError: its value is damaged.
    """
    height, width = region.size_hw
    x, y = region.number("x") * width / 100, region.number("y") * height / 100
    return round(x, DECIMALS), round(y, DECIMALS)


def mask_rle(mask: NDArray[np.bool_]) -> Rle:
    """Compress a mask (H, W)."""
    return _as_text(coco_masks.encode(np.asfortranarray(mask, np.uint8)))


def rings_rle(rings: list[Ring], size_hw: tuple[int, int]) -> Rle:
    """Fill outlines and compress what they cover together."""
    return _as_text(coco_masks.merge(coco_masks.frPyObjects(rings, *size_hw)))


def _as_text(rle: Rle) -> Rle:
    return {"size": [int(side) for side in rle["size"]], "counts": rle["counts"].decode("ascii")}


def _points(region: LabelledRegion) -> list[list[float]]:
    points = region.value.get("points")
    if (
        not isinstance(points, list)
        or len(points) < 3
        or not all(
            isinstance(point, list)
            and len(point) == 2
            and all(type(part) in (int, float) and math.isfinite(part) for part in point)
            for point in points
        )
    ):
        raise region.fault("its points are not three or more pairs of numbers")
    return points


def _corners(region: LabelledRegion) -> NDArray[np.float64]:
    """Turn a rectangle about its top left corner, in pixels; (4, 2)."""
    height, width = region.size_hw
    sides = np.array([region.number("width") * width, region.number("height") * height]) / 100
    if min(sides) <= 0:
        raise region.fault("it has no area")
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * sides
    start = np.array([region.number("x") * width, region.number("y") * height]) / 100
    angle = math.radians(region.number("rotation", 0))
    cos, sin = math.cos(angle), math.sin(angle)
    return start + corners @ np.array([[cos, sin], [-sin, cos]])


def _ellipse(region: LabelledRegion) -> NDArray[np.bool_]:
    """The pixels whose centers lie in an ellipse that is turned about its own center."""
    height, width = region.size_hw
    radius_x = region.number("radiusX") * width / 100
    radius_y = region.number("radiusY") * height / 100
    if min(radius_x, radius_y) <= 0:
        raise region.fault("it has no area")
    angle = math.radians(region.number("rotation", 0))
    y, x = np.ogrid[:height, :width]
    right = x + 0.5 - region.number("x") * width / 100
    down = y + 0.5 - region.number("y") * height / 100
    along = right * math.cos(angle) + down * math.sin(angle)
    across = down * math.cos(angle) - right * math.sin(angle)
    inside: NDArray[np.bool_] = (along / radius_x) ** 2 + (across / radius_y) ** 2 <= 1
    return inside
