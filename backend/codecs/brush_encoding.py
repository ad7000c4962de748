"""Masks, or their runs, to a brush region's `rle`."""

from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backend.codecs.brush_layout import CHANNELS, HEADER_BITS, KIND_BITS, VALUE_BITS
from backend.codecs.mask_checks import require_mask
from backend.codecs.run_edges import run_edges
from backend.core.errors import MaskShapeError

MAX_VALUES = 2**32 - 1
MAX_FIELD_BITS = 16
MAX_FIELD = 2**MAX_FIELD_BITS - 1

# Runs go in pieces whose temporary arrays stay in the processor's cache: fresh memory for whole
# arrays costs more than the arithmetic on them.
RUNS_AT_ONCE = 1 << 15  # even, so that every piece begins with a run of the same value

# Every choice of four field sizes; a run is 4 values or more, so none needs only one bit.
FIELD_SIZES = np.array(list(combinations(range(2, MAX_FIELD_BITS + 1), 4)))  # (1365, 4)
# (1365, 17): the smallest of the four that holds a field of so many bits; prohibitive if none.
FIELD_COSTS = np.where(
    FIELD_SIZES[:, :, None] >= np.arange(MAX_FIELD_BITS + 1), FIELD_SIZES[:, :, None], 1e6
).min(axis=1)
# The values of runs in turn, for a piece of runs that begins with either.
VALUES_IN_TURN = np.arange(RUNS_AT_ONCE + 1, dtype=np.uint32) % 2 * 255


def encode_brush(mask: NDArray[np.bool_]) -> list[int]:
    """Pack a mask into the run-length bytes that a Label Studio brush region stores.

    The field sizes are the best for this mask, so no list is longer than label-studio-sdk's.
    A square in the middle of 4 x 4 pixels, runs of 20, 8, 8, 8 and 20 values, becomes
    `[0, 0, 0, 64, 56, 145, 167, 152, 5, 255, 247, 128, 95, 255, 230, 0]`.

    Args:
        mask: (H, W), True on the object, in pixels of the image as displayed (EXIF applied);
            H and W are the region's original_height and original_width.

    Returns:
        Plain ints 0-255, ready for JSON. They unpack to H * W * 4 values, row-major RGBA,
        255 on the object and 0 elsewhere.

    Raises:
        MaskShapeError: the mask is not 2-D, not bool, has a side of 0, or has 2 ** 30 pixels
            or more, which the format cannot count.
    """
    _check_mask(mask)
    pixels = mask.ravel()
    return encode_brush_runs(run_edges(pixels), begins_true=bool(pixels[0]))


def encode_brush_runs(edges: NDArray[np.int32], *, begins_true: bool) -> list[int]:
    """`encode_brush` for a mask whose runs are known already.

    Args:
        edges: (N + 1,) first pixel of each run, row by row, and the number of all pixels.
        begins_true: whether the first run is on the object.
    """
    blocks = [
        _records(edges[start : start + RUNS_AT_ONCE + 1], begins_true=begins_true)
        for start in range(0, edges.size - 1, RUNS_AT_ONCE)
    ]
    needs = np.arange(MAX_FIELD_BITS + 1)  # bits that a field can need, 0-16
    counts = sum(np.bincount(block.needs, minlength=needs.size) for block in blocks)
    sizes = FIELD_SIZES[(FIELD_COSTS @ counts).argmin()]
    kinds = np.searchsorted(sizes[:3], needs)
    heads = (0b100 | kinds) << (sizes[kinds] + VALUE_BITS)
    widths = sizes[kinds] + (KIND_BITS + VALUE_BITS)

    header = int(edges[-1]) * CHANNELS << 5 | VALUE_BITS - 1
    for size in sizes.tolist():
        header = header << 4 | size - 1
    bits = HEADER_BITS + int(widths @ counts)
    words = np.zeros(bits // 64 + 2, np.uint64)
    words[0] = header << 64 - HEADER_BITS
    end = HEADER_BITS
    for block in blocks:
        end = _write(words, end, heads[block.needs] | block.tails, widths[block.needs])
    return list(words.astype(">u8").tobytes()[: (bits + 7) // 8])


class _Records(NamedTuple):
    """Records of runs whose field size is not chosen yet."""

    needs: NDArray[np.intp]  # bits that the field needs, 0-16
    tails: NDArray[np.uint32]  # field and value


def _check_mask(mask: NDArray[np.bool_]) -> None:
    require_mask(mask)
    if mask.size * CHANNELS > MAX_VALUES:
        raise MaskShapeError(
            f"a mask of shape {mask.shape} has {mask.size * CHANNELS} RGBA values, "
            f"brush RLE counts up to {MAX_VALUES}",
            remedy="give a smaller mask",
        )


def _records(edges: NDArray[np.int32], *, begins_true: bool) -> _Records:
    """Make the records of the runs between edges, in pixels."""
    fields = np.diff(edges).view(np.uint32) * CHANNELS - 1
    values = VALUES_IN_TURN[int(begins_true) :][: fields.size]
    if fields.max() > MAX_FIELD:  # full records, and one with the rest
        pieces = (fields >> MAX_FIELD_BITS) + 1
        rest = fields & MAX_FIELD
        fields = np.full(pieces.sum(), MAX_FIELD, np.uint32)
        fields[np.cumsum(pieces) - 1] = rest
        values = np.repeat(values, pieces)
    needs = np.frexp(fields.astype(np.float32))[1]  # the exponent is the bit length
    return _Records(needs.astype(np.intp), fields << np.uint32(VALUE_BITS) | values)


def _write(
    words: NDArray[np.uint64], at: int, codes: NDArray[np.int64], widths: NDArray[np.int64]
) -> int:
    """Write codes of up to 27 bits into a bit stream that holds zeros from bit `at` on.

    Returns:
        The bit after the last one written.
    """
    if codes.size % 2:
        codes, widths = np.append(codes, 0), np.append(widths, 0)
    # Two codes go as one; that still fits into a word, so at least one starts in every word.
    pair_widths = widths[::2] + widths[1::2]
    pairs = (codes[::2] << widths[1::2] | codes[1::2]).view(np.uint64)
    pairs <<= (64 - pair_widths).view(np.uint64)
    ends = np.cumsum(pair_widths) + at
    starts = ends - pair_widths
    shifts = (starts & 63).view(np.uint64)
    first_words = starts >> 6
    last = np.append(np.flatnonzero(first_words[1:] != first_words[:-1]), starts.size - 1)

    # Codes share no bits, so a word is the sum of those that start in it: what a running sum
    # gains from word to word, even where it overflows. The last of them may go on in the next.
    sums = np.cumsum(pairs >> shifts)[last]
    sums[1:] -= sums[:-1]
    word = at >> 6
    words[word : word + last.size] += sums
    words[word + 1 : word + 1 + last.size] += pairs[last] << 64 - shifts[last]
    return int(ends[-1])
