"""What encode_brush writes, and how little of it."""

import json
import math
from itertools import combinations

import numpy as np
import pytest
from brush_masks import MASKS, disc, noise, rgba, to_bytes
from label_studio_sdk.converter.brush import decode_rle, encode_rle

from backend.codecs import brush
from backend.codecs.brush import encode_brush, encode_brush_runs
from backend.core.errors import MaskShapeError


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
def test_sdk_reads_all_channels_of_encode_brush(mask):
    np.testing.assert_array_equal(decode_rle(encode_brush(mask)), rgba(mask))


@pytest.mark.parametrize("mask", MASKS)
def test_encode_brush_is_never_longer_than_the_sdk(mask):
    assert len(encode_brush(mask)) <= len(encode_rle(rgba(mask)))


@pytest.mark.parametrize("mask", MASKS)
def test_encode_brush_does_not_depend_on_where_its_pieces_end(mask, monkeypatch):
    whole = encode_brush(mask)
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


@pytest.mark.parametrize("begins_true", [False, True])
def test_known_runs_give_the_mask_s_list(begins_true):
    edges = np.array([0, 20, 28, 40, 48, 60, 100], np.int32)
    values = np.arange(edges.size - 1) % 2 != begins_true
    mask = np.repeat(values, np.diff(edges)).reshape(5, 20)
    assert encode_brush_runs(edges, begins_true=begins_true) == encode_brush(mask)
