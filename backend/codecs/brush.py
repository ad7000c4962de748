"""Label Studio's brush RLE: masks to the `rle` list of a brush region, and back.

The list holds the bytes of a bit stream, most significant bit first, filled up with zero bits:

    32 bits      number of values; for a brush region H * W * 4, row-major RGBA
     5 bits      bits of a value, less 1
     4 x 4 bits  four field sizes in bits, less 1
    then records, until all values are there:
     1 bit       1: a run, one value repeated; 0: a literal, one value after the other
     2 bits      which of the four field sizes comes next
     1-16 bits   the field: number of values, less 1
     8 bits      the value; in a literal, the values

Source: thi.ng/rle-pack, as Label Studio's front end and label-studio-sdk's converter/brush.py
(`encode_rle`, `decode_rle`, `decode_from_annotation`) use it.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backend.codecs.masks import require_mask, require_size, run_edges
from backend.core.errors import MaskShapeError, RunLengthError

CHANNELS = 4  # RGBA
VALUE_BITS = 8
KIND_BITS = 3  # run or literal, and which field size
HEADER_BITS = 53
HEADER_BYTES = 7
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
    return encode_brush_runs(run_edges(mask), begins_true=bool(mask[0, 0]))


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


def decode_brush(
    rle: Sequence[int], height: int, width: int, *, threshold: int = 127
) -> NDArray[np.bool_]:
    """Unpack the `rle` list of a brush region, of any writer: this module, the SDK, a browser.

    What was drawn or erased by hand has antialiased edges with many grey levels. The default
    threshold cuts them in the middle; a lower one makes strokes thicker than they were drawn.

    Args:
        rle: ints 0-255, the region's `rle`.
        height: the region's original_height, in pixels.
        width: the region's original_width, in pixels.
        threshold: pixels whose alpha is greater, of 0-255, are the object.

    Returns:
        (height, width), True on the object.

    Raises:
        MaskShapeError: height or width is less than 1.
        RunLengthError: the list is no list of bytes, is cut short or damaged, or holds another
            number of values than height * width * 4. Nothing of the mask's size is allocated
            before this is known.
    """
    require_size(height, width)
    data = _as_bytes(rle)
    sizes = _read_header(data, height, width)
    spans = _read_spans(data, sizes, height * width * CHANNELS)
    # Alpha is the last of a pixel's four values: a span holds as many as pixels end in it.
    pixels = np.diff(np.cumsum(spans.lengths) // CHANNELS, prepend=0)
    return np.repeat(spans.values > threshold, pixels).reshape(height, width)


# Encoding


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


# Decoding


class _Spans(NamedTuple):
    """Stretches of one value each, one after the other, over all values of an RGBA image."""

    lengths: NDArray[np.int64]
    values: NDArray[np.int64]


def _damaged(message: str) -> RunLengthError:
    return RunLengthError(
        f"brush rle is damaged: {message}",
        remedy="draw or predict the region again, or restore it from a backup",
    )


def _as_bytes(rle: Sequence[int]) -> bytes:
    if not isinstance(rle, list | tuple):
        raise _damaged(f"expected a list of ints 0-255, got {type(rle).__name__}")
    try:
        return bytes(rle)
    except (TypeError, ValueError):
        index, item = next(
            (index, item)
            for index, item in enumerate(rle)
            if not isinstance(item, int) or not 0 <= item <= 255
        )
        raise _damaged(f"expected ints 0-255, got {item!r:.40} at index {index}") from None


def _read_header(data: bytes, height: int, width: int) -> list[int]:
    """Check the header against the mask's size; return the four field sizes in bits."""
    if len(data) < HEADER_BYTES:
        raise _damaged(f"expected a header of {HEADER_BYTES} bytes, got {len(data)} in all")
    header = int.from_bytes(data[:HEADER_BYTES]) >> (HEADER_BYTES * 8 - HEADER_BITS)
    values, value_bits = header >> 21, (header >> 16 & 31) + 1
    if value_bits != VALUE_BITS:
        raise _damaged(f"expected values of {VALUE_BITS} bits, got {value_bits}")
    expected = height * width * CHANNELS
    if values != expected:
        raise RunLengthError(
            f"brush rle is of another size: expected {height} x {width} x {CHANNELS} = "
            f"{expected} values, it has {values}",
            remedy="give the region's own original_height and original_width",
        )
    return [(header >> shift & 15) + 1 for shift in (12, 8, 4, 0)]


def _read_spans(data: bytes, sizes: list[int], expected: int) -> _Spans:
    """Read records until `expected` values are there; each value of a literal is a span."""
    padded = data + bytes(4)  # every bit of `data` has 32 bits to read from it on
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    starts = _record_starts(padded, bits, sizes)
    is_run = bits[starts] == 1
    field_bits = np.array(sizes)[_read_bits(padded, starts + 1, 2)]
    fields_at = starts + KIND_BITS
    counts = _read_bits(padded, fields_at, field_bits) + 1

    # The zeros that fill the last byte may look like one more record; it is not looked at.
    reached = np.cumsum(counts)
    last = int(np.searchsorted(reached, expected))
    if last == reached.size:
        got = int(reached[-1]) if last else 0
        raise _damaged(f"expected {expected} values, got {got} before the list ends")
    if reached[last] != expected:
        raise _damaged(f"expected {expected} values, record {last + 1} goes on to {reached[last]}")

    copies = np.where(is_run, 1, counts)[: last + 1]
    record = np.repeat(np.arange(last + 1), copies)
    place = np.arange(record.size) - (np.cumsum(copies) - copies)[record]
    values_at = (fields_at + field_bits)[record] + VALUE_BITS * place
    if bits[values_at[-1] + VALUE_BITS :].any():
        raise _damaged(f"expected its end after {expected} values, got more than zero bits")
    values = _read_bits(padded, values_at, VALUE_BITS)
    return _Spans(np.where(is_run[record], counts[record], 1), values)


def _record_starts(padded: bytes, bits: NDArray[np.uint8], sizes: list[int]) -> NDArray[np.int64]:
    """Find the first bit of every complete record.

    Each follows from the one before, so this is a loop. A run's width is known from its first
    three bits: looked up for all bits beforehand, it leaves the loop one step for each record.
    """
    kinds = (bits[:-2] << 2) | (bits[1:-1] << 1) | bits[2:]  # if a record began at this bit
    run_bits = [KIND_BITS + size + VALUE_BITS for size in sizes]
    steps = np.array([0, 0, 0, 0, *run_bits], np.uint8)[kinds].tobytes()
    starts = []
    at = HEADER_BITS
    while at < len(steps):
        starts.append(at)
        step = steps[at]
        if not step:  # a literal, as wide as its field says
            window = int.from_bytes(padded[at >> 3 : (at >> 3) + 4])
            below = 32 - KIND_BITS - (at & 7)
            size = sizes[window >> below & 3]
            count = (window >> below - size & (1 << size) - 1) + 1
            step = KIND_BITS + size + VALUE_BITS * count
        at += step
    if at > bits.size:
        starts.pop()
    return np.array(starts, np.int64)


def _read_bits(
    padded: bytes, at: NDArray[np.int64], widths: NDArray[np.int64] | int
) -> NDArray[np.int64]:
    """Read a number of up to 24 bits at each bit offset."""
    window_bytes = np.lib.stride_tricks.sliding_window_view(np.frombuffer(padded, np.uint8), 4)
    windows = window_bytes[at >> 3].view(">u4")[:, 0].astype(np.int64)
    return windows >> (32 - (at & 7) - widths) & (1 << widths) - 1
