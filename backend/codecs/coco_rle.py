"""COCO's run lengths and polygons to masks, and back: pycocotools, with bounds before it.

pycocotools believes what it is given. Run lengths that end early are filled with uninitialised
memory, a size of its own is allocated, and an outline is walked in fifths of a pixel however long
it is. So the sums and the lengths are judged here, before anything of that size exists.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_masks

from backend.core.errors import MaskShapeError, PolygonError, RunLengthError

Rle = dict[str, Any]  # {"size": [H, W], "counts": compressed, as text}
Ring = Sequence[float]  # x1, y1, x2, y2, ... in pixels, not closed

MAX_OUTLINE_PX = 2_000_000  # of one object, all rings together: 160 MB while it is filled
FARTHEST = 10  # image sides from the origin
_FIRST_CHARACTER = 48
_MORE, _SIGN, _LOW = 32, 16, 31  # bits of a character: another one follows, negative, the value
_MOST_CHARACTERS = 7  # of one number: 35 bits


def encode_rle(mask: NDArray[np.bool_]) -> Rle:
    """Compress a mask (H, W)."""
    return _as_text(coco_masks.encode(np.asfortranarray(mask, np.uint8)))


def encode_rows(rows: NDArray[np.bool_], *, top: int, height: int) -> Rle:
    """Compress a mask of which only some rows are on, in work for those alone.

    Args:
        rows: (rows, W) of the mask.
        top: number of the first of them.
        height: of the mask, in rows.
    """
    width = rows.shape[1]
    # Column by column, a change in front of each row and behind the last one.
    changes = np.diff(np.pad(rows.T.view(np.int8), ((0, 0), (1, 1))), axis=1)
    columns, places = np.nonzero(changes)
    edges = columns * height + top + places
    joined = np.flatnonzero(edges[1:] == edges[:-1])  # where a column goes on in the next one
    edges = np.delete(edges, np.concatenate([joined, joined + 1]))
    size = height * width
    counts = np.diff(edges, prepend=0, append=[] if edges.size and edges[-1] == size else size)
    rle = {"size": [height, width], "counts": counts.tolist()}
    return _as_text(coco_masks.frPyObjects(rle, height, width))


def decode_rle(
    rle: Mapping[str, Any], size_hw: tuple[int, int], *, max_pixels: int
) -> NDArray[np.bool_]:
    """Draw run lengths, compressed or not.

    Args:
        rle: `size` and `counts` as COCO has them; `counts` a text, or whole numbers.
        size_hw: of the image.
        max_pixels: largest mask that is drawn.

    Returns:
        (H, W), True on the object.

    Raises:
        RunLengthError: they are damaged, or do not fill an image of this size.
        MaskShapeError: the image has more pixels than that.
    """
    require_pixels(size_hw, max_pixels)
    counts = rle["counts"]
    runs = _runs(counts) if isinstance(counts, str) else np.asarray(counts, np.float64)
    height, width = size_hw
    if (
        list(rle["size"]) != [height, width]
        or not runs.size
        or runs.min() < 0
        or (runs % 1).any()
        or runs.sum() != height * width
    ):
        raise _damaged(f"they do not fill {width} x {height} pixels")
    is_on = np.arange(runs.size) % 2 == 1
    return np.repeat(is_on, runs.astype(np.int64)).reshape(width, height).T


def fill_rings(rings: Sequence[Ring], size_hw: tuple[int, int]) -> Rle:
    """Fill outlines as pycocotools does, and compress what they cover together.

    Raises:
        PolygonError: they lie far outside the image, or are longer than anybody's outline.
    """
    length = 0.0
    for ring in rings:
        xy = np.asarray(ring, np.float64).reshape(-1, 2)
        # Not `any(> far)`: what is no number is not near.
        if not (np.abs(xy) <= FARTHEST * max(size_hw)).all():
            raise PolygonError("it lies far outside the image", remedy="draw it again")
        length += np.abs(np.diff(xy, axis=0, append=xy[:1])).max(axis=1).sum()
        if length > MAX_OUTLINE_PX:
            raise PolygonError(
                f"its outline is more than {MAX_OUTLINE_PX} pixels long",
                remedy="draw it with fewer turns, or as a mask",
            )
    flat = [list(ring) for ring in rings]
    return _as_text(coco_masks.merge(coco_masks.frPyObjects(flat, *size_hw)))


def require_pixels(size_hw: tuple[int, int], max_pixels: int) -> None:
    """Check that a mask may be drawn.

    Raises:
        MaskShapeError: it has more than `max_pixels`.
    """
    height, width = size_hw
    if height * width > max_pixels:
        raise MaskShapeError(
            f"its image of {width} x {height} has more than {max_pixels} pixels",
            remedy="raise MOBILESAM_MAX_PIXELS if the image is really that large",
        )


def _runs(text: str) -> NDArray[np.float64]:
    """Read the numbers of compressed run lengths: up to seven characters of five bits each."""
    try:
        characters = np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64)
    except UnicodeEncodeError:
        raise _damaged("they are no ASCII") from None
    bits = characters - _FIRST_CHARACTER
    if not bits.size or bits.min() < 0 or bits.max() >= 2 * _MORE or bits[-1] & _MORE:
        raise _damaged("they end within a number, or are none")
    ends = np.flatnonzero(bits & _MORE == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    sizes = ends - starts + 1
    if sizes.max() > _MOST_CHARACTERS:
        raise _damaged("a number has too many digits")
    places = np.arange(bits.size) - np.repeat(starts, sizes)
    numbers = np.add.reduceat((bits & _LOW) << 5 * places, starts)
    numbers -= np.where(bits[ends] & _SIGN, 1 << 5 * sizes, 0)
    runs = numbers.astype(np.float64)
    # From the fourth on each is the difference to the last but one.
    for first in (1, 2):
        runs[first::2] = np.cumsum(runs[first::2])
    return runs


def _as_text(rle: Rle) -> Rle:
    return {"size": [int(side) for side in rle["size"]], "counts": rle["counts"].decode("ascii")}


def _damaged(why: str) -> RunLengthError:
    return RunLengthError(f"its run lengths are damaged: {why}", remedy="correct the COCO file")
