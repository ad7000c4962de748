"""What decode_brush reads: by hand, by any writer of the format, and lists that are damaged."""

import tracemalloc

import cv2
import numpy as np
import pytest
from brush_masks import disc, noise, sdk_mask, streams, to_bytes
from hypothesis import given, settings
from hypothesis import strategies as st
from label_studio_sdk.converter.brush import decode_rle
from recordings import brush_regions

from backend.codecs.brush import decode_brush, encode_brush
from backend.core.errors import MaskShapeError, RunLengthError

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


@settings(max_examples=200)
@given(streams(), st.integers(0, 254))
def test_decode_brush_reads_runs_and_literals_of_any_field_size(stream, threshold):
    rle, pixels = stream
    decoded = decode_brush(rle, 1, pixels, threshold=threshold)
    np.testing.assert_array_equal(decoded, sdk_mask(rle, 1, pixels, threshold))


def test_decode_brush_keeps_the_recorded_hole():
    ring, *_ = brush_regions("export_ring")
    mask = decode_brush(ring["value"]["rle"], ring["original_height"], ring["original_width"])
    assert mask.sum() == 40_000
    with_holes_filled = np.zeros(mask.shape, np.uint8)
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(with_holes_filled, contours, -1, 1, cv2.FILLED)
    assert with_holes_filled.sum() == 50_000


@pytest.mark.parametrize(("threshold", "area_px"), [(127, 2069), (0, 2316)])
def test_decode_brush_cuts_antialiased_edges_at_the_threshold(threshold, area_px):
    stroke, _ = brush_regions("result_hand_brush_and_erased_mask")
    rle, shape = stroke["value"]["rle"], (stroke["original_height"], stroke["original_width"])
    assert len(np.unique(decode_rle(rle))) > 100
    assert decode_brush(rle, *shape, threshold=threshold).sum() == area_px


def test_decode_brush_reads_alpha_and_not_colour():
    values = [255, 255, 255, 127, 0, 0, 0, 128]
    rle = to_bytes(8, [1, 2, 3, 4], [(False, 2, values, 8)])
    assert decode_brush(rle, 1, 2).tolist() == [[False, True]]


@pytest.mark.parametrize(("height", "width"), [(0, 4), (4, 0), (-4, -4)])
def test_decode_brush_refuses_a_size_without_pixels(height, width):
    with pytest.raises(MaskShapeError, match=f"height {height} and width {width}"):
        decode_brush(encode_brush(np.ones((4, 4), bool)), height, width)


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
