"""Rings without holes: holes opened by slits, and parts joined by bridges, both far below a pixel.

Both are the same question: which points are joined, so that everything hangs together, by the
least length and without a circle. The answer is a minimum spanning tree (Kruskal's) over the edges
of a constrained Delaunay triangulation, which cross no ring and not one another.
"""

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray

from backend.core.errors import PolygonError

# The width of a slit. pycocotools rounds to fifths of a pixel and does not see it; a pixel's corner
# that is not on an edge is farther from it, if the edge is no longer than 10,000 pixels.
SLIT_PX = 1e-4
GRID_PX = 1e-8  # what coordinates are rounded to where a slit was cut
NEEDLE_RAD = 0.01
FAR_PX = 1e9  # farther than anything is apart
NOBODY = -1


def open_holes(part: shapely.Polygon) -> shapely.Polygon:
    """Join all holes to the outside by slits between points that are there already.

    Between others, pycocotools would round the edges that a slit divides differently.
    """
    if not part.interiors:
        return part
    outlines = _outlines(part)
    owners = np.repeat(np.arange(len(outlines)), [len(xy) for xy in outlines])
    # At a needle's tip, a slit would open the hole by less than arithmetic can hold.
    is_needle = np.concatenate([_angles_rad(xy) < NEEDLE_RAD for xy in outlines])
    slits = _tree(part, np.concatenate(outlines), owners, is_needle)
    # A square end reaches into the hole, whichever way the slit meets it. On the grid, no point is
    # so close to an edge that arithmetic, such as making percent, could bring it over.
    cuts = _strips(slits, SLIT_PX)
    pieces = shapely.get_parts(part.difference(cuts, grid_size=GRID_PX))
    return max(pieces, key=lambda piece: piece.area)  # the slits make no circle: there is only one


def join_parts(parts: Sequence[shapely.Polygon], width_px: float) -> shapely.Polygon:
    """Join parts by bridges, and open what holes they have or enclose.

    Args:
        parts: valid; they may overlap and touch.
        width_px: of a bridge.

    Returns:
        One polygon without holes.

    Raises:
        PolygonError: arithmetic cannot join them.
    """
    pieces = _pieces(shapely.disjoint_subset_union_all(parts))
    if len(pieces) > 1:
        bridges = _bridges(pieces)
        pieces = _pieces(shapely.union_all([*pieces, _strips(bridges, width_px)]))
    if len(pieces) != 1:
        raise PolygonError("its parts cannot be joined", remedy="draw it again, or export COCO")
    return pieces[0]


def _pieces(shape: shapely.Geometry) -> list[shapely.Polygon]:
    return [open_holes(piece) for piece in shapely.get_parts(shape)]


def _bridges(pieces: Sequence[shapely.Polygon]) -> list[shapely.LineString]:
    """Lines that join pieces through the gaps between them, where they do not touch already."""
    owner_of: dict[tuple[float, ...], int] = {}
    touches = []
    for number, piece in enumerate(pieces):
        corners = shapely.get_coordinates(piece.exterior)[:-1].tolist()
        touches += [
            shapely.LineString([xy, xy])
            for xy in corners
            if owner_of.setdefault(tuple(xy), number) != number
        ]
    everything = shapely.disjoint_subset_union_all(pieces)
    left, top, right, bottom = everything.bounds
    around = shapely.box(left - 1, top - 1, right + 1, bottom + 1).difference(everything)
    gap = max(shapely.get_parts(around), key=shapely.get_num_coordinates)
    points = np.concatenate(_outlines(gap))
    owners = np.array([owner_of.get(tuple(xy), NOBODY) for xy in points.tolist()])
    return touches + _tree(gap, points, owners, np.zeros(len(points), np.bool_))


def _tree(
    shape: shapely.Polygon,
    points: NDArray[np.float64],
    owners: NDArray[np.int64],
    is_needle: NDArray[np.bool_],
) -> list[shapely.LineString]:
    """Find the shortest lines within a shape that join everybody's points.

    Args:
        shape: whose corners the points are.
        points: (N, 2).
        owners: (N,) whose each point is, from 0; `NOBODY`'s are not joined.
        is_needle: (N,) points that are joined only if nothing else can be.
    """
    numbers = {tuple(xy): number for number, xy in enumerate(points.tolist())}
    triangles = shapely.get_coordinates(shapely.constrained_delaunay_triangles(shape))
    corners = np.array([numbers[tuple(xy)] for xy in triangles.tolist()]).reshape(-1, 4)
    edges = np.concatenate([corners[:, side : side + 2] for side in range(3)])  # (E, 2)
    ends = owners[edges]
    edges = edges[(ends[:, 0] != ends[:, 1]) & (ends != NOBODY).all(axis=1)]
    lengths_px = np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1)
    lengths_px += is_needle[edges].any(axis=1) * FAR_PX
    edges = edges[np.argsort(lengths_px, kind="stable")]

    leaders = list(range(int(owners.max()) + 1))  # a union-find

    def leader(one: int) -> int:
        while leaders[one] != one:
            leaders[one] = leaders[leaders[one]]
            one = leaders[one]
        return one

    chosen = []
    for index, (first, second) in enumerate(owners[edges].tolist()):
        first, second = leader(first), leader(second)  # noqa: PLW2901
        if first != second:
            leaders[first] = second
            chosen.append(index)
    return [shapely.LineString(line) for line in points[edges[chosen]]]


def _strips(lines: Sequence[shapely.LineString], width_px: float) -> shapely.Geometry:
    # Most strips touch no other: those that do are found first, which saves most of the time.
    strips = shapely.buffer(lines, width_px / 2, cap_style="square")
    return shapely.disjoint_subset_union_all(strips)


def _outlines(part: shapely.Polygon) -> list[NDArray[np.float64]]:
    rings = [part.exterior, *part.interiors]
    return [shapely.get_coordinates(ring)[:-1] for ring in rings]


def _angles_rad(xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Between the two edges at each point of a ring: (N,), 0 where it turns right back."""
    to_last, to_next = np.roll(xy, 1, axis=0) - xy, np.roll(xy, -1, axis=0) - xy
    sine = to_last[:, 0] * to_next[:, 1] - to_last[:, 1] * to_next[:, 0]
    return np.arctan2(np.abs(sine), (to_last * to_next).sum(axis=1))
