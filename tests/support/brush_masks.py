"""Masks of all kinds for the brush codec, bit streams written by hand, and what the SDK says."""

import numpy as np
import pytest
from hypothesis import strategies as st
from label_studio_sdk.converter.brush import decode_rle


def set_pixels(shape, *indices):
    mask = np.zeros(shape, bool)
    for index in indices:
        mask[index] = True
    return mask


def disc(height, width, radius, hole=0):
    """A disc in the middle, radii as parts of the height."""
    y, x = np.ogrid[:height, :width]
    distance = np.hypot(y - height / 2, x - width / 2)
    return (distance < radius * height) & (distance >= hole * height)


def noise(height, width, share):
    return np.random.default_rng(0).random((height, width)) < share


def rgba(mask):
    return np.repeat(mask.ravel(), 4).astype(np.uint8) * 255


def sdk_mask(rle, height, width, threshold=127):
    return decode_rle(rle).reshape(height, width, 4)[:, :, 3] > threshold


MASKS = [
    pytest.param(np.zeros((6, 9), bool), id="empty"),
    pytest.param(np.ones((6, 9), bool), id="full"),
    pytest.param(np.zeros((1, 1), bool), id="1x1-empty"),
    pytest.param(np.ones((1, 1), bool), id="1x1-full"),
    pytest.param(set_pixels((5, 7), (0, 0)), id="pixel-top-left"),
    pytest.param(set_pixels((5, 7), (0, -1)), id="pixel-top-right"),
    pytest.param(set_pixels((5, 7), (-1, 0)), id="pixel-bottom-left"),
    pytest.param(set_pixels((5, 7), (-1, -1)), id="pixel-bottom-right"),
    pytest.param(set_pixels((8, 8), slice(None, None, 2)), id="striped-rows"),
    pytest.param(set_pixels((8, 8), np.s_[:, 1::2]), id="striped-columns"),
    pytest.param(np.indices((9, 9)).sum(axis=0) % 2 == 0, id="checkerboard"),
    pytest.param(noise(60, 80, 0.5), id="noisy"),
    pytest.param(noise(60, 80, 0.02), id="speckled"),
    pytest.param(noise(1, 500, 0.3), id="1xN"),
    pytest.param(noise(500, 1, 0.3), id="Nx1"),
    pytest.param(disc(60, 80, 0.4, hole=0.2), id="ring"),
    pytest.param(set_pixels((1, 64), (0, 63)), id="last-bit-of-a-word"),
    pytest.param(set_pixels((1, 65), (0, 64)), id="first-bit-of-a-word"),
    pytest.param(np.ones((128, 128), bool), id="run-of-65536-values"),
    pytest.param(np.ones((113, 145), bool), id="run-of-65540-values"),
    pytest.param(set_pixels((300, 300), (150, 150)), id="runs-of-many-records"),
    pytest.param(np.ones((600, 700), bool), id="one-run-of-many-records"),
    pytest.param(set_pixels((300, 300), (0, 0), (-1, -1)), id="first-and-last-pixel"),
    pytest.param(set_pixels((3, 2**16), (0, -1)), id="object-ends-with-a-block"),
    pytest.param(set_pixels((3, 2**16), (1, 0)), id="object-begins-with-a-block"),
    pytest.param(set_pixels((3, 2**16), 0, 2), id="no-object-in-the-block-between"),
    pytest.param(set_pixels((20, 64), np.s_[:, 32:]), id="every-word-is-the-same"),
    pytest.param(set_pixels((20, 64), np.s_[5:9, ::2], np.s_[12:, ::2]), id="words-repeat-twice"),
]


@st.composite
def masks_by_runs(draw):
    """Masks made of runs of every order of magnitude, cut into rows of any length."""
    lengths = draw(
        st.lists(
            st.one_of(st.integers(1, 5), st.integers(6, 300), st.integers(301, 40_000)),
            min_size=1,
            max_size=8,
        )
    )
    pixels = np.repeat(np.arange(len(lengths)) % 2 == draw(st.integers(0, 1)), lengths)
    width = draw(st.sampled_from([n for n in range(1, 41) if pixels.size % n == 0]))
    return pixels.reshape(-1, width)


@st.composite
def masks_by_words(draw):
    """Masks of words of 64 pixels that may be alike, and the pixels of a part of a word."""
    word = st.one_of(
        st.sampled_from([0, 2**64 - 1, 1, 2**63, 0x5555555555555555, 2**32 - 1]),
        st.integers(0, 2**64 - 1),
    )
    repeated = st.tuples(word, st.integers(1, 4))
    words = [word for word, times in draw(st.lists(repeated, max_size=8)) for _ in range(times)]
    rest = draw(st.lists(st.booleans(), min_size=0 if words else 1, max_size=63))
    bits = np.unpackbits(np.array(words, "<u8").view(np.uint8), bitorder="little")
    return np.append(bits.astype(bool), np.array(rest, bool))[None]


@st.composite
def streams(draw):
    """Records that any writer of the format may write, for one row of pixels."""
    sizes = draw(st.lists(st.integers(1, 16), min_size=4, max_size=4))
    record = st.tuples(st.booleans(), st.integers(0, 3), st.integers(1, 20), st.binary(min_size=20))
    records = []
    total = 0
    for is_run, kind, length, values in draw(st.lists(record, min_size=1, max_size=12)):
        count = min(length, 2 ** sizes[kind])
        records.append((is_run, kind, values[: 1 if is_run else count], count))
        total += count
    rest = -total % 4
    records += [(False, 0, b"\0", 1)] * rest
    return to_bytes(total + rest, sizes, records), (total + rest) // 4


def to_bytes(total, sizes, records, value_bits=8):
    """Write a stream bit by bit; a record is (is a run, which size, values, how many)."""
    bits = f"{total:032b}{value_bits - 1:05b}" + "".join(f"{size - 1:04b}" for size in sizes)
    for is_run, kind, values, count in records:
        bits += f"{is_run:b}{kind:02b}{count - 1:0{sizes[kind]}b}"
        bits += "".join(f"{value:08b}" for value in values)
    bits += "0" * (-len(bits) % 8)
    return [int(bits[start : start + 8], 2) for start in range(0, len(bits), 8)]
