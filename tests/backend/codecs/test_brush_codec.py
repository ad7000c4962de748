"""Both halves of the brush codec against each other, label-studio-sdk's, and real recordings."""

from unittest import mock

import numpy as np
import pytest
from brush_masks import MASKS, disc, masks_by_runs, masks_by_words, rgba, sdk_mask
from hypothesis import given, settings
from hypothesis import strategies as st
from label_studio_sdk.converter.brush import decode_rle, encode_rle, mask2rle
from recordings import RECORDINGS, brush_regions

from backend.codecs import brush
from backend.codecs.brush import decode_brush, encode_brush


@pytest.mark.parametrize("mask", MASKS)
def test_decode_brush_inverts_encode_brush(mask):
    decoded = decode_brush(encode_brush(mask), *mask.shape)
    assert decoded.dtype == bool
    np.testing.assert_array_equal(decoded, mask)


@pytest.mark.parametrize("mask", MASKS)
def test_decode_brush_reads_what_the_sdk_writes(mask):
    from_mask = mask2rle(mask.astype(np.uint8) * 255)
    assert from_mask == encode_rle(rgba(mask))
    np.testing.assert_array_equal(decode_brush(from_mask, *mask.shape), mask)


@settings(max_examples=60)
@given(masks_by_runs())
def test_codecs_agree_on_runs_of_any_length(mask):
    rle = encode_brush(mask)
    sdk_rle = encode_rle(rgba(mask))
    assert len(rle) <= len(sdk_rle)
    np.testing.assert_array_equal(decode_rle(rle), rgba(mask))
    np.testing.assert_array_equal(decode_brush(rle, *mask.shape), mask)
    np.testing.assert_array_equal(decode_brush(sdk_rle, *mask.shape), mask)


@settings(max_examples=200)
@given(masks_by_words(), st.sampled_from([2, 4, 2**15]))
def test_codecs_agree_wherever_words_repeat_and_pieces_end(mask, runs):
    with mock.patch.object(brush, "RUNS_AT_ONCE", runs):
        rle = encode_brush(mask)
    np.testing.assert_array_equal(decode_rle(rle), rgba(mask))
    np.testing.assert_array_equal(decode_brush(rle, *mask.shape), mask)


def test_codecs_agree_on_12_megapixels():
    mask = disc(3000, 4000, 0.35, hole=0.1)
    rle = encode_brush(mask)
    np.testing.assert_array_equal(decode_brush(rle, 3000, 4000), mask)
    np.testing.assert_array_equal(sdk_mask(rle, 3000, 4000), mask)
    sdk_rle = mask2rle(mask.astype(np.uint8) * 255)
    np.testing.assert_array_equal(decode_brush(sdk_rle, 3000, 4000), mask)


@pytest.mark.parametrize(
    "name", sorted(file.stem for file in RECORDINGS.glob("*.json") if brush_regions(file.stem))
)
def test_decode_brush_reads_every_recorded_region_as_the_sdk_does(name):
    for region in brush_regions(name):
        rle, shape = region["value"]["rle"], (region["original_height"], region["original_width"])
        mask = decode_brush(rle, *shape)
        np.testing.assert_array_equal(mask, sdk_mask(rle, *shape))
        np.testing.assert_array_equal(sdk_mask(encode_brush(mask), *shape), mask)
