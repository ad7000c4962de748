"""The brush codec against label-studio-sdk's, real recordings, and lists that are damaged."""

import json
import math
import tracemalloc
from itertools import combinations
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from label_studio_sdk.converter.brush import decode_rle, encode_rle, mask2rle

from backend import brush
from backend.brush import decode_brush, encode_brush, encode_brush_runs
from backend.errors import MaskShapeError, RunLengthError

RECORDINGS = Path(__file__).parents[1] / "golden" / "label_studio"


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


def regions_of(name):
    """All brush regions of a recording, at whatever depth they lie."""

    def walk(node):
        if isinstance(node, dict):
            if "rle" in node.get("value", ()):
                yield node
            for child in node.values():
                yield from walk(child)
        elif isinstance(node, list):
            for child in node:
                yield from walk(child)

    return list(walk(json.loads((RECORDINGS / name).read_text())))


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


def test_encode_brush_of_a_4x4_mask_is_the_documented_list():
    mask = np.array(
        [
            [0, 0, 0, 0],
            [0, 1, 1, 0],
            [0, 1, 1, 0],
            [0, 0, 0, 0],
        ],
        bool,
    )
    rle = encode_brush(mask)
    assert rle == [0, 0, 0, 64, 56, 145, 167, 152, 5, 255, 247, 128, 95, 255, 230, 0]
    assert str(rle) in encode_brush.__doc__
    runs = [(20, 0), (8, 255), (8, 0), (8, 255), (20, 0)]
    records = [(True, 3 if count == 20 else 1, [value], count) for count, value in runs]
    assert rle == to_bytes(64, [2, 3, 4, 5], records)


@pytest.mark.parametrize("mask", MASKS)
def test_decode_brush_inverts_encode_brush(mask):
    decoded = decode_brush(encode_brush(mask), *mask.shape)
    assert decoded.dtype == bool
    np.testing.assert_array_equal(decoded, mask)


@pytest.mark.parametrize("mask", MASKS)
def test_sdk_reads_all_channels_of_encode_brush(mask):
    np.testing.assert_array_equal(decode_rle(encode_brush(mask)), rgba(mask))


@pytest.mark.parametrize("mask", MASKS)
def test_decode_brush_reads_what_the_sdk_writes(mask):
    from_mask = mask2rle(mask.astype(np.uint8) * 255)
    assert from_mask == encode_rle(rgba(mask))
    np.testing.assert_array_equal(decode_brush(from_mask, *mask.shape), mask)


@pytest.mark.parametrize("mask", MASKS)
def test_encode_brush_is_never_longer_than_the_sdk(mask):
    assert len(encode_brush(mask)) <= len(encode_rle(rgba(mask)))


@settings(deadline=None, max_examples=60)
@given(masks_by_runs())
def test_codecs_agree_on_runs_of_any_length(mask):
    rle = encode_brush(mask)
    sdk_rle = encode_rle(rgba(mask))
    assert len(rle) <= len(sdk_rle)
    np.testing.assert_array_equal(decode_rle(rle), rgba(mask))
    np.testing.assert_array_equal(decode_brush(rle, *mask.shape), mask)
    np.testing.assert_array_equal(decode_brush(sdk_rle, *mask.shape), mask)


@settings(deadline=None, max_examples=200)
@given(masks_by_words(), st.sampled_from([64, 128, 2**16]), st.sampled_from([2, 4, 2**15]))
def test_codecs_agree_wherever_words_repeat_and_blocks_and_pieces_end(mask, block_px, runs):
    with (
        mock.patch.object(brush, "BLOCK_PIXELS", block_px),
        mock.patch.object(brush, "RUNS_AT_ONCE", runs),
    ):
        rle = encode_brush(mask)
    np.testing.assert_array_equal(decode_rle(rle), rgba(mask))
    np.testing.assert_array_equal(decode_brush(rle, *mask.shape), mask)


@settings(deadline=None, max_examples=200)
@given(streams(), st.integers(0, 254))
def test_decode_brush_reads_runs_and_literals_of_any_field_size(stream, threshold):
    rle, pixels = stream
    decoded = decode_brush(rle, 1, pixels, threshold=threshold)
    np.testing.assert_array_equal(decoded, sdk_mask(rle, 1, pixels, threshold))


def test_codecs_agree_on_12_megapixels():
    mask = disc(3000, 4000, 0.35, hole=0.1)
    rle = encode_brush(mask)
    np.testing.assert_array_equal(decode_brush(rle, 3000, 4000), mask)
    np.testing.assert_array_equal(sdk_mask(rle, 3000, 4000), mask)
    sdk_rle = mask2rle(mask.astype(np.uint8) * 255)
    np.testing.assert_array_equal(decode_brush(sdk_rle, 3000, 4000), mask)


@pytest.mark.parametrize("mask", MASKS)
def test_encode_brush_does_not_depend_on_where_its_pieces_end(mask, monkeypatch):
    whole = encode_brush(mask)
    monkeypatch.setattr(brush, "BLOCK_PIXELS", 64)
    monkeypatch.setattr(brush, "RUNS_AT_ONCE", 2)
    assert encode_brush(mask) == whole


@pytest.mark.parametrize("view", [np.asfortranarray, np.fliplr, np.transpose])
def test_encode_brush_takes_any_memory_layout(view):
    mask = view(noise(40, 30, 0.3))
    assert encode_brush(mask) == encode_brush(np.ascontiguousarray(mask))


def test_encode_brush_gives_plain_ints_for_json():
    rle = encode_brush(disc(40, 30, 0.3))
    assert {type(item) for item in rle} == {int}
    assert json.loads(json.dumps(rle)) == rle


@pytest.mark.parametrize(
    "mask",
    [
        pytest.param(disc(480, 640, 0.35, hole=0.2), id="ring"),
        pytest.param(np.tile(disc(500, 500, 0.4), (3, 4)), id="12-discs-on-3-megapixels"),
    ],
)
def test_encode_brush_is_a_fifth_smaller_than_the_sdk_for_runs_of_100s_of_px(mask):
    """The SDK takes 27 bits for any run above 64 px. A record has 11 bits and its field, so 20 %
    is all that the format leaves at about 390 px; longer runs, as in large images, save less.
    """
    assert len(encode_brush(mask)) <= 0.8 * len(encode_rle(rgba(mask)))


@pytest.mark.parametrize(
    "mask",
    [
        pytest.param(disc(200, 300, 0.35), id="disc"),
        pytest.param(noise(100, 100, 0.1), id="noisy"),
        pytest.param(noise(200, 300, 0.001), id="sparse"),
    ],
)
def test_encode_brush_picks_the_four_best_field_sizes(mask):
    changes = np.flatnonzero(np.diff(mask.ravel(), prepend=~mask[0, 0]))
    lengths = (np.diff(changes, append=mask.size) * 4).tolist()

    def stream_bits(sizes):
        widths = [min(size for size in sizes if 2**size >= length) + 11 for length in lengths]
        return 53 + sum(widths)

    choices = [sizes for sizes in combinations(range(2, 17), 4) if 2 ** sizes[3] >= max(lengths)]
    assert len(encode_brush(mask)) == math.ceil(min(map(stream_bits, choices)) / 8)


@pytest.mark.parametrize(
    "name", sorted(path.name for path in RECORDINGS.glob("*.json") if regions_of(path.name))
)
def test_decode_brush_reads_every_recorded_region_as_the_sdk_does(name):
    for region in regions_of(name):
        rle, shape = region["value"]["rle"], (region["original_height"], region["original_width"])
        mask = decode_brush(rle, *shape)
        np.testing.assert_array_equal(mask, sdk_mask(rle, *shape))
        np.testing.assert_array_equal(sdk_mask(encode_brush(mask), *shape), mask)


def test_decode_brush_keeps_the_recorded_hole():
    ring, *_ = regions_of("export_ring.json")
    mask = decode_brush(ring["value"]["rle"], ring["original_height"], ring["original_width"])
    assert mask.sum() == 40_000
    with_holes_filled = np.zeros(mask.shape, np.uint8)
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(with_holes_filled, contours, -1, 1, cv2.FILLED)
    assert with_holes_filled.sum() == 50_000


@pytest.mark.parametrize(("threshold", "area_px"), [(127, 2069), (0, 2316)])
def test_decode_brush_cuts_antialiased_edges_at_the_threshold(threshold, area_px):
    stroke, _ = regions_of("result_hand_brush_and_erased_mask.json")
    rle, shape = stroke["value"]["rle"], (stroke["original_height"], stroke["original_width"])
    assert len(np.unique(decode_rle(rle))) > 100
    assert decode_brush(rle, *shape, threshold=threshold).sum() == area_px


def test_decode_brush_reads_alpha_and_not_colour():
    values = [255, 255, 255, 127, 0, 0, 0, 128]
    rle = to_bytes(8, [1, 2, 3, 4], [(False, 2, values, 8)])
    assert decode_brush(rle, 1, 2).tolist() == [[False, True]]


@pytest.mark.parametrize(
    "mask",
    [
        pytest.param(np.zeros((0, 5), bool), id="no-rows"),
        pytest.param(np.zeros((5, 0), bool), id="no-columns"),
        pytest.param(np.zeros(5, bool), id="1-D"),
        pytest.param(np.zeros((1, 5, 5), bool), id="3-D"),
        pytest.param(np.array(True), id="0-D"),
        pytest.param(np.zeros((5, 5), np.uint8), id="uint8"),
        pytest.param(np.zeros((5, 5), np.float32), id="logits"),
        pytest.param(np.broadcast_to(np.True_, (2**15, 2**15)), id="more-than-32-bits-count"),
    ],
)
def test_encode_brush_refuses_what_is_no_mask(mask):
    with pytest.raises(MaskShapeError) as caught:
        encode_brush(mask)
    named = mask.shape if mask.dtype == bool else mask.dtype
    assert str(named) in caught.value.message


@pytest.mark.parametrize(("height", "width"), [(0, 4), (4, 0), (-4, -4)])
def test_decode_brush_refuses_a_size_without_pixels(height, width):
    with pytest.raises(MaskShapeError, match=f"height {height} and width {width}"):
        decode_brush(encode_brush(np.ones((4, 4), bool)), height, width)


FOUR = [1, 2, 3, 4]
DAMAGED = [
    pytest.param(None, "expected a list of ints 0-255, got NoneType", id="none"),
    pytest.param("AAAA", "expected a list of ints 0-255, got str", id="text"),
    pytest.param(7, "expected a list of ints 0-255, got int", id="number"),
    pytest.param([0, 0, 0.5], "got 0.5 at index 2", id="float"),
    pytest.param([0, "1"], "got '1' at index 1", id="digit"),
    pytest.param([None], "got None at index 0", id="null"),
    pytest.param([0, 256], "got 256 at index 1", id="256"),
    pytest.param([-1], "got -1 at index 0", id="negative"),
    pytest.param([10**30], f"got {10**30} at index 0", id="huge-int"),
    pytest.param([], "expected a header of 7 bytes, got 0 in all", id="empty"),
    pytest.param([0, 0, 0, 16, 56, 1], "got 6 in all", id="part-of-a-header"),
    pytest.param(to_bytes(16, FOUR, []), "expected 16 values, got 0 before", id="header-only"),
    pytest.param(
        to_bytes(16, FOUR, [(True, 3, [255], 16)], value_bits=16),
        "expected values of 8 bits, got 16",
        id="value-size",
    ),
    pytest.param(
        to_bytes(12, FOUR, [(True, 3, [255], 12)]),
        "expected 2 x 2 x 4 = 16 values, it has 12",
        id="another-size",
    ),
    pytest.param(
        to_bytes(2**32 - 1, FOUR, [(True, 3, [255], 16)]),
        f"it has {2**32 - 1}",
        id="absurd-size",
    ),
    pytest.param(
        to_bytes(16, FOUR, [(True, 2, [255], 8)]),
        "expected 16 values, got 8 before the list ends",
        id="too-few-values",
    ),
    pytest.param(
        to_bytes(16, FOUR, [(True, 2, [255], 8), (True, 3, [0], 12)]),
        "expected 16 values, record 2 goes on to 20",
        id="run-too-long",
    ),
    pytest.param(
        to_bytes(16, FOUR, [(False, 3, [255] * 10, 16)]),
        "expected 16 values, got 0 before the list ends",
        id="literal-cut-short",
    ),
    pytest.param(
        [*to_bytes(16, FOUR, [(True, 3, [255], 16)]), 0, 1],
        "expected its end after 16 values, got more than zero bits",
        id="more-after-the-end",
    ),
]


@pytest.mark.parametrize(("rle", "message"), DAMAGED)
def test_decode_brush_says_what_is_damaged(rle, message):
    with pytest.raises(RunLengthError) as caught:
        decode_brush(rle, 2, 2)
    assert message in caught.value.message
    assert caught.value.remedy


def test_decode_brush_refuses_every_cut_of_a_list():
    rle = encode_brush(noise(20, 20, 0.3))
    for length in range(len(rle)):
        with pytest.raises(RunLengthError):
            decode_brush(rle[:length], 20, 20)


def test_decode_brush_accepts_zero_bytes_after_the_end():
    mask = noise(20, 20, 0.3)
    np.testing.assert_array_equal(decode_brush(encode_brush(mask) + [0] * 50, 20, 20), mask)


def test_decode_brush_of_any_flipped_bit_is_a_mask_or_a_named_error():
    rle = encode_brush(disc(30, 40, 0.4))
    refused = 0
    for bit in range(len(rle) * 8):
        damaged = list(rle)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            assert decode_brush(damaged, 30, 40).shape == (30, 40)
        except RunLengthError:
            refused += 1
    assert refused > len(rle)


def test_decode_brush_allocates_nothing_for_pixels_that_are_not_there():
    rle = to_bytes(2**31, [16, 16, 16, 16], [(True, 0, [255], 2**16)])
    tracemalloc.start()
    try:
        with pytest.raises(RunLengthError, match="before the list ends"):
            decode_brush(rle, 2**14, 2**15)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 1_000_000


@pytest.mark.parametrize("begins_true", [False, True])
def test_known_runs_give_the_mask_s_list(begins_true):
    edges = np.array([0, 20, 28, 40, 48, 60, 100], np.int32)
    values = np.arange(edges.size - 1) % 2 != begins_true
    mask = np.repeat(values, np.diff(edges)).reshape(5, 20)
    assert encode_brush_runs(edges, begins_true=begins_true) == encode_brush(mask)
