"""Holes of a mask opened along the grid, while its rings are still corners that follow one another.

From its upper left corner, a hole is joined to what lies left of it: a slit along the line between
two rows, up to the first pixel that is not on the object. So every hole hangs on a ring that begins
farther left, in the end on the outline, and there is no circle. A slit is spliced in, which costs
nothing beside the general way of `slits`: 10,000 holes took 14 s there.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from backend.codecs.slits import SLIT_PX

_HOLE = 7  # the pixels around the upper left corner of a hole: all but the lower right one


def spliced(
    mask: NDArray[np.bool_],
    grid_xy: NDArray[np.int64],
    kinds: NDArray[np.uint8],
    xy: NDArray[np.float64],
    following: NDArray[np.int64],
    rings: Sequence[Sequence[int]],
) -> tuple[NDArray[np.float64], list[int]]:
    """Splice slits from all holes into the rings around them.

    Args:
        mask: (H, W).
        grid_xy: (N, 2) corners of the grid at which rings turn; the object is on the right hand.
        kinds: (N,) which of the four pixels around each are on the object, as in `polygons`.
        xy: (N, 2) where the corners are, which is off the grid where pixels only touch.
        following: (N,) the next corner along the ring.
        rings: the corners of each ring.

    Returns:
        All points, those of the slits behind the others, and for each the one that follows. Points
        that are left out follow themselves.
    """
    ring_of = np.empty(len(grid_xy), np.int64)
    ring_of[np.concatenate([np.asarray(ring) for ring in rings])] = np.repeat(
        np.arange(len(rings)), [len(ring) for ring in rings]
    )
    order = np.lexsort((grid_xy[:, 1], grid_xy[:, 0], ring_of))
    first_of_ring = order[np.flatnonzero(np.diff(ring_of[order], prepend=-1))]
    holes = first_of_ring[kinds[first_of_ring] == _HOLE]
    if not holes.size:
        return xy, following.tolist()
    x, y = grid_xy[holes].T

    # Where the slit ends: right of the last place in its line that has not both pixels on.
    is_solid = mask[:-1] & mask[1:]
    columns = np.where(is_solid, -1, np.arange(mask.shape[1]))
    ends = np.maximum.accumulate(columns, axis=1)[y - 1, x - 1] + 1

    # The edge there goes up, since the object is on its right: found by where it ends.
    after = grid_xy[following]
    goes_up = np.flatnonzero((after[:, 0] == grid_xy[:, 0]) & (after[:, 1] < grid_xy[:, 1]))
    height = mask.shape[0] + 1
    keys = after[goes_up, 0] * height + after[goes_up, 1]
    by_key = np.argsort(keys)
    edges = goes_up[by_key[np.searchsorted(keys[by_key], ends * height + y, side="right") - 1]]

    preceding = np.empty_like(following)
    preceding[following] = np.arange(following.size)
    points = xy.tolist()
    links: list[int] = following.tolist()
    on_edge: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for hole, edge, end in zip(holes.tolist(), edges.tolist(), ends.tolist(), strict=True):
        on_edge[edge].append((int(grid_xy[hole, 1]), hole, end))
    for edge, slits in on_edge.items():
        last, top = edge, links[edge]
        for y_px, hole, x_px in sorted(slits, reverse=True):  # on the way up
            corner = float(grid_xy[hole, 0])
            if grid_xy[edge, 1] == y_px:
                # The edge begins here, and comes along the line: the slit lies above it.
                entry, leaving = (
                    hole,
                    [
                        (corner + SLIT_PX, float(y_px)),
                        (corner + SLIT_PX, y_px - SLIT_PX),
                        (float(x_px), y_px - SLIT_PX),
                    ],
                )
            else:
                first = len(points)
                points += [[float(x_px), y_px + SLIT_PX], [corner, y_px + SLIT_PX]]
                links += [first + 1, links[hole]]
                links[hole] = hole
                entry, leaving = first, [(float(x_px), float(y_px))]
                if grid_xy[top].tolist() == [x_px, y_px]:  # the edge ends here
                    leaving = []
            links[last] = entry
            last = int(preceding[hole])
            for point in leaving:
                points.append(list(point))
                links.append(-1)
                links[last] = len(points) - 1
                last = len(points) - 1
        links[last] = top
    return np.array(points), links
