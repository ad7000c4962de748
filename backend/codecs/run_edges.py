"""Where a mask's runs begin: what both of its run-length codecs write."""

import numpy as np
from numpy.typing import NDArray

BLOCK_PIXELS = 1 << 16  # where the object begins and ends is found in steps of so many


def run_edges(pixels: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Find the first pixel of every run, and the end of the last.

    Args:
        pixels: (H * W,), row by row.

    Returns:
        Indices of pixels, the first of them 0 and the last H * W.
    """
    blocks = np.arange(0, pixels.size, BLOCK_PIXELS)
    used = np.flatnonzero(np.logical_or.reduceat(pixels, blocks))
    if not used.size:
        return np.array([0, pixels.size], np.int32)
    start = blocks[used[0]]
    packed = np.packbits(pixels[start : blocks[used[-1]] + BLOCK_PIXELS], bitorder="little")
    packed.resize((packed.size // 8 + 1) * 8, refcheck=False)  # whole words that end with a zero
    words = packed.view("<u8")  # 64 pixels in each, the first in the lowest bit

    # Most words are as the one before: they have no edge, if all their pixels are the same.
    differs = np.ones(words.size + 1, np.bool_)
    np.not_equal(words[1:], words[:-1], out=differs[1:-1])
    at = np.flatnonzero(differs)  # and the end of all words
    mixed = words[at[:-1]] + 1 > 1  # neither no bit is set nor every bit
    repeated = np.flatnonzero(mixed & (np.diff(at) > 1))
    if repeated.size:  # a pattern, or chance: what repeats has edges too
        for first, after in zip(at[repeated].tolist(), at[repeated + 1].tolist(), strict=True):
            differs[first:after] = True
        at = np.flatnonzero(differs)
    at = at[:-1]
    before = words[at - 1] >> 63
    before[0] = 0  # False before the first pixel
    here = words[at]
    changed = (here << 1 | before) ^ here  # bit i: pixel i is not what pixel i - 1 is

    kept = np.flatnonzero(changed != 0)
    found = _set_bits(changed[kept], at[kept] * 64 + start)
    first = np.array([] if pixels[0] else [0], np.int32)
    last = np.array([] if pixels[-1] else [pixels.size], np.int32)
    return np.concatenate([first, found, last])


def _set_bits(words: NDArray[np.uint64], offsets: NDArray[np.int64]) -> NDArray[np.int32]:
    """List where bits are set, from the lowest of the first word to the highest of the last.

    Args:
        words: none of them 0.
        offsets: where the lowest bit of each word is.
    """
    counts = np.bitwise_count(words)
    ends = np.cumsum(counts, dtype=np.intp)
    found = np.empty(ends[-1], np.int32)
    # The lowest bit of every word, then the next one of those that have two, and so on: with the
    # fullest words in front, each turn needs only the first part of the arrays.
    order = np.argsort(counts, kind="stable")[::-1]
    places = (ends - counts)[order]
    words, offsets = words[order], offsets[order].astype(np.int32)
    for size in (words.size - np.cumsum(np.bincount(counts))[:-1]).tolist():
        lowest = words[:size] & -words[:size]
        found[places[:size]] = offsets[:size] + np.bitwise_count(lowest - 1)
        words[:size] ^= lowest
        places[:size] += 1
    return found
