"""Regions as COCO holds them: run lengths, polygons, key points, in pixels.

Percentages are of the image as displayed. Polygons, and the rectangles that are turned into them,
are filled as pycocotools fills them, which is what every reader of the file does.
"""

import math

import numpy as np
from numpy.typing import NDArray

from backend.codecs.bitmask import decode_bitmask
from backend.codecs.brush import decode_brush
from backend.codecs.coco_rle import FARTHEST, Rle, encode_rle, fill_rings, require_pixels
from backend.datasets.labelled_regions import LabelledRegion, finite

# A COCO coordinate that went through percent differs in its 13th digit, and pycocotools rounds at
# fifths of a pixel, where many of them lie: rounding to a millionth restores what was imported.
DECIMALS = 6


def region_rle(region: LabelledRegion, *, alpha: int, max_pixels: int) -> Rle:
    """Make the run lengths of a region with an area.

    Args:
        region: any but a key point.
        alpha: of a brush or bitmask region, the pixels whose alpha is greater are the object.
        max_pixels: largest mask that is drawn.

    Raises:
        RegionError: the region's value is damaged.
        MaskError: its run lengths or its bitmask are, or it is too large.
    """
    height, width = region.size_hw
    if not has_ring(region):
        require_pixels(region.size_hw, max_pixels)
    match region.shape:
        case "brush":
            rle = region.value.get("rle")
            return encode_rle(decode_brush(rle, height, width, threshold=alpha))  # type: ignore[arg-type]
        case "bitmask":
            url = str(region.value.get("imageDataURL"))
            return encode_rle(decode_bitmask(url, height, width, threshold=alpha))
        case "ellipse":
            return encode_rle(_ellipse(region))
        case _:
            return fill_rings([region_ring(region)], region.size_hw)


def has_ring(region: LabelledRegion) -> bool:
    """Whether a region is an outline by itself, so that polygons need no tracing."""
    return region.shape in ("polygon", "rectangle")


def region_ring(region: LabelledRegion) -> list[float]:
    """Return the outline of a polygon or rectangle.

    Raises:
        RegionError: its value is damaged.
    """
    height, width = region.size_hw
    if region.shape == "rectangle":
        corners = _corners(region)
    else:
        corners = np.array(_points(region)) * (width / 100, height / 100)
    _require_near(region, corners)
    return [round(float(number), DECIMALS) for number in corners.ravel()]


def key_point_xy(region: LabelledRegion) -> tuple[float, float]:
    """Return where a key point is.

    Raises:
        RegionError: its value is damaged.
    """
    height, width = region.size_hw
    x, y = region.number("x") * width / 100, region.number("y") * height / 100
    _require_near(region, np.array([x, y]))
    return round(x, DECIMALS), round(y, DECIMALS)


def _require_near(region: LabelledRegion, xy: NDArray[np.float64]) -> None:
    # Not `any(> far)`: an overflow makes NaN, which is not near.
    if not (np.abs(xy) <= FARTHEST * max(region.size_hw)).all():
        raise region.fault("it lies far outside the image")


def _points(region: LabelledRegion) -> list[list[float]]:
    points = region.value.get("points")
    if (
        not isinstance(points, list)
        or len(points) < 3
        or not all(
            isinstance(point, list)
            and len(point) == 2
            and all(finite(part) is not None for part in point)
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
    start = np.array([region.number("x") * width, region.number("y") * height]) / 100
    _require_near(region, np.stack([start, sides]))
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * sides
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
    # Only where it can be: the rest of a large image is not looked at.
    center = np.array([region.number("x") * width, region.number("y") * height]) / 100
    _require_near(region, np.array([*center, radius_x, radius_y]))
    reach = math.ceil(max(radius_x, radius_y)) + 1
    left, top = np.clip(np.floor(center - reach), 0, [width, height]).astype(int)
    right, bottom = np.clip(np.ceil(center + reach), 0, [width, height]).astype(int)
    y, x = np.ogrid[top:bottom, left:right]
    across, down = x + 0.5 - center[0], y + 0.5 - center[1]
    along = across * math.cos(angle) + down * math.sin(angle)
    aside = down * math.cos(angle) - across * math.sin(angle)
    mask = np.zeros((height, width), np.bool_)
    mask[top:bottom, left:right] = (along / radius_x) ** 2 + (aside / radius_y) ** 2 <= 1
    return mask
