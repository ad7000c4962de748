"""A brush region's `rle` to its mask."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backend.codecs.brush_layout import CHANNELS, HEADER_BITS, KIND_BITS, VALUE_BITS
from backend.codecs.mask_checks import require_size
from backend.core.errors import RunLengthError

HEADER_BYTES = 7


def decode_brush(
    rle: Sequence[int], height: int, width: int, *, threshold: int = 127
) -> NDArray[np.bool_]:
    """Unpack the `rle` list of a brush region, whoever wrote it: this package, the SDK, a browser.

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
