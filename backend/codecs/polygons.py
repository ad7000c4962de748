"""Masks to rings of points, as polygon regions and COCO hold them.

Points are x, y in pixels, on the corners of pixels: the one pixel of a 1 x 1 mask is the square
(0, 0), (1, 0), (1, 1), (0, 1). Contours through the pixels' centres, as OpenCV gives them and
Label Studio's own export writes them, lose half a pixel all around.

Neither format knows holes. A hole is joined to the outside by a slit far narrower than a pixel,
and pixels that only touch at a corner are as little apart.
"""

from typing import NamedTuple

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from backend.codecs.grid_slits import spliced
from backend.codecs.slits import SLIT_PX, open_holes
from backend.core.errors import MaskShapeError

# How a ring turns at a corner of the grid, by which of the four pixels around it are on the object
# (1 upper left, 2 upper right, 4 lower left, 8 lower right): the sides that it runs on, right or
# left and below or above (1 or -1), and whether it comes along the column. The object lies on the
# right hand. Where two pixels only touch, each has a turn of its own: 6 and 9 have two.
TURNS = np.zeros((16, 3), np.int64)
TURNS[[1, 2, 4, 8]] = [(-1, -1, 1), (1, -1, 0), (-1, 1, 0), (1, 1, 1)]  # one pixel
TURNS[[14, 13, 11, 7]] = [(-1, -1, 0), (1, -1, 1), (-1, 1, 1), (1, 1, 0)]  # all but one
TURNS[[9, 6]] = TURNS[[1, 2]]
SECOND_TURNS = np.zeros_like(TURNS)
SECOND_TURNS[[9, 6]] = TURNS[[8, 4]]
IS_TURN = TURNS[:, 0] != 0
IS_TOUCH = SECOND_TURNS[:, 0] != 0
IS_CONVEX = np.isin(np.arange(16), (1, 2, 4, 8, 9, 6))


def mask_polygons(mask: NDArray[np.bool_], *, tolerance_px: float) -> list[NDArray[np.float64]]:
    """Trace the parts of a mask, and leave out the points that hardly matter.

    Args:
        mask: (H, W), True on the object.
        tolerance_px: how far the outline may move. With 0 the rings are the pixels' edges and fill
            exactly the mask. Parts and holes that have no point deeper than this are left out,
            except the largest part.

    Returns:
        A ring (N, 2) of x, y for each part, whose pixels share sides; the largest part first, the
        first point not repeated at the end. No ring touches or crosses itself or another.

    Raises:
        MaskShapeError: the mask is not an (H, W) array of bool.
    """
    if mask.dtype != np.bool_ or mask.ndim != 2:
        raise MaskShapeError(
            f"a mask of {mask.dtype} and shape {mask.shape} is not an (H, W) array of bool",
            remedy="give one, such as logits > 0",
        )
    if not mask.any():
        return []
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    mask = mask[top : top + height, left : left + width]
    if not tolerance_px:
        rings = _opened_rings(mask)
        return [ring + np.array([left, top]) for ring in sorted(rings, key=_area, reverse=True)]
    parts = _simplified(_parts(mask), tolerance_px)
    return [
        shapely.get_coordinates(open_holes(part).exterior)[:-1] + np.array([left, top])
        for part in sorted(parts, key=lambda part: part.area, reverse=True)
    ]


class _Corners(NamedTuple):
    """Where rings turn, in no order.

    `xy` is (N, 2), and `grid_xy` without what keeps corners apart that only touch; `kinds` as for
    `TURNS`; `following` the number of the next corner along the ring; `pixels_yx` (N, 2) a pixel of
    the object at the corner.
    """

    grid_xy: NDArray[np.int64]
    kinds: NDArray[np.uint8]
    xy: NDArray[np.float64]
    following: NDArray[np.int64]
    pixels_yx: NDArray[np.int64]


def _opened_rings(mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Trace a ring around each part, along the pixels' edges and around its holes, too."""
    corners = _corners(mask)
    rings = _rings(corners.following.tolist())
    points, links = spliced(
        mask, corners.grid_xy, corners.kinds, corners.xy, corners.following, rings
    )
    return [points[ring] for ring in _rings(links) if len(ring) > 1]


def _area(ring: NDArray[np.float64]) -> float:
    x, y = ring.T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1))


def _parts(mask: NDArray[np.bool_]) -> list[shapely.Polygon]:
    """Make a polygon with holes of each set of pixels that share sides."""
    corners = _corners(mask)
    _, part_numbers = cv2.connectedComponents(mask.view(np.uint8), connectivity=4)
    outlines: dict[int, NDArray[np.float64]] = {}
    holes: dict[int, list[NDArray[np.float64]]] = {}
    for ring in _rings(corners.following.tolist()):
        part = int(part_numbers[tuple(corners.pixels_yx[ring[0]])])
        xy = corners.xy[ring]
        if _area(xy) > 0:  # clockwise on the screen
            outlines[part] = xy
        else:
            holes.setdefault(part, []).append(xy)
    return [shapely.Polygon(xy, holes.get(part)) for part, xy in outlines.items()]


def _corners(mask: NDArray[np.bool_]) -> _Corners:
    height, width = mask.shape
    grid = np.zeros((height + 1, width + 1), np.uint8)
    for bit, row, column in ((1, 1, 1), (2, 1, 0), (4, 0, 1), (8, 0, 0)):
        grid[row : row + height, column : column + width] |= mask * np.uint8(bit)
    kinds = grid.ravel()
    once = np.flatnonzero(IS_TURN[kinds])
    twice = once[IS_TOUCH[kinds[once]]]
    places = np.concatenate([once, twice])
    turns = np.concatenate([TURNS[kinds[once]], SECOND_TURNS[kinds[twice]]])
    kinds = kinds[places]
    sides, comes_along_column = turns[:, :2], turns[:, 2] == 1
    x, y = places % (width + 1), places // (width + 1)

    along_row = _neighbours(places * 2 + (sides[:, 0] > 0))
    along_column = _neighbours((x * (height + 1) + y) * 2 + (sides[:, 1] > 0))
    xy = np.stack([x, y], axis=1)
    towards_pixel = np.where(IS_CONVEX[kinds, None], sides, -sides)
    return _Corners(
        grid_xy=xy,
        kinds=kinds,
        xy=xy + IS_TOUCH[kinds, None] * towards_pixel * SLIT_PX,
        following=np.where(comes_along_column, along_row, along_column),
        pixels_yx=(xy + (towards_pixel - 1) // 2)[:, ::-1],
    )


def _neighbours(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Pair the corners of each line: its edges run from every first to every second one."""
    first, second = np.argsort(keys).reshape(-1, 2).T
    neighbours = np.empty_like(keys)
    neighbours[first], neighbours[second] = second, first
    return neighbours


def _rings(following: list[int]) -> list[list[int]]:
    """Follow the corners around, ring by ring."""
    rings = []
    is_seen = bytearray(len(following))
    for first in range(len(following)):
        if is_seen[first]:
            continue
        ring = []
        corner = first
        while not is_seen[corner]:
            is_seen[corner] = 1
            ring.append(corner)
            corner = following[corner]
        rings.append(ring)
    return rings


def _simplified(parts: list[shapely.Polygon], tolerance_px: float) -> list[shapely.Polygon]:
    """Leave out what is not deeper than the tolerance, and points within it of the new outline."""
    deep = _deep(parts, tolerance_px)
    rings = [ring for part in deep for ring in (part.exterior, *part.interiors)]
    # All at once, so that none crosses another. As lines: of a ring, GEOS would take the first
    # point too, and count from there, so that the outline would move by twice the tolerance.
    lines = shapely.MultiLineString([shapely.LineString(ring.coords) for ring in rings])
    simplified = iter(shapely.get_parts(lines.simplify(tolerance_px, preserve_topology=True)))
    parts = [
        shapely.Polygon(next(simplified), [next(simplified) for _ in part.interiors])
        for part in deep
    ]
    # Chains of pixels that touch at corners are deep, and may be as thin as a slit now.
    return _deep(parts, SLIT_PX)


def _deep(parts: list[shapely.Polygon], depth_px: float) -> list[shapely.Polygon]:
    """Leave out holes, and parts but the largest, that have no point deeper than this."""
    largest = max(parts, key=lambda part: part.area)
    deep = []
    for part in parts:
        holes = [hole for hole in part.interiors if _is_deep(shapely.Polygon(hole), depth_px)]
        filled = shapely.Polygon(part.exterior, holes)
        if part is largest or _is_deep(filled, depth_px):
            deep.append(filled)
    return deep


def _is_deep(polygon: shapely.Polygon, depth_px: float) -> bool:
    left, top, right, bottom = polygon.bounds
    return min(right - left, bottom - top) > 2 * depth_px and not polygon.buffer(-depth_px).is_empty
