"""The bitmask codec against a real recording, the browser's ways of writing, and damage."""

import io
from base64 import b64decode, b64encode

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image
from recordings import recording

from backend.codecs.bitmask import MAX_PIXELS, MAX_SIDE_PX, PREFIX, decode_bitmask, encode_bitmask
from backend.core.errors import BitmaskError, MaskShapeError

MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=40))


def picture(image_data_url):
    return Image.open(io.BytesIO(b64decode(image_data_url.removeprefix(PREFIX))))


def data_url(image, **options):
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return PREFIX + b64encode(buffer.getvalue()).decode()


@given(MASKS)
def test_decode_bitmask_inverts_encode_bitmask(mask):
    np.testing.assert_array_equal(decode_bitmask(encode_bitmask(mask), *mask.shape), mask)


def test_bitmask_is_what_the_editor_accepted_and_stored():
    [region] = recording("answer_bitmask")["results"][0]["result"]
    stored = region["value"]["imageDataURL"]
    mask = decode_bitmask(stored, region["original_height"], region["original_width"])
    y, x = np.ogrid[:576, :768]
    area = ((x - 384.5) ** 2 / 104.5**2 + (y - 230) ** 2 / 70**2 < 1).sum()
    assert mask.sum() == pytest.approx(area, rel=0.01)
    ours = picture(encode_bitmask(mask))
    assert (ours.mode, ours.size) == ("RGBA", (768, 576))
    np.testing.assert_array_equal(np.asarray(ours), np.asarray(picture(stored)))


def test_bitmask_of_a_part_of_an_array_is_that_part():
    mask = np.eye(20, dtype=bool)[::2, 3:18:3]
    np.testing.assert_array_equal(decode_bitmask(encode_bitmask(mask), *mask.shape), mask)


@given(arrays(np.uint8, (5, 7)), st.integers(0, 255))
def test_pixels_above_the_threshold_are_the_object(alpha, threshold):
    rgba = np.zeros((5, 7, 4), np.uint8)
    rgba[:, :, 3] = alpha
    mask = decode_bitmask(data_url(Image.fromarray(rgba)), 5, 7, threshold=threshold)
    np.testing.assert_array_equal(mask, alpha > threshold)


OBJECT = np.eye(4, 6, dtype=bool)
IN_WHITE = Image.fromarray(
    np.uint8([[[255, 255, 255, 0]]]) + np.uint8([0, 0, 0, 255]) * OBJECT[..., None]
)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param(data_url(IN_WHITE), id="white"),
        pytest.param(data_url(IN_WHITE.convert("LA")), id="grey-and-alpha"),
        pytest.param(data_url(Image.fromarray(~OBJECT), transparency=1), id="one-bit"),
        pytest.param(
            PREFIX
            + "\r\n".join(
                map("".join, zip(*[iter(data_url(IN_WHITE)[len(PREFIX) :])] * 4, strict=True))
            ),
            id="line-breaks",
        ),
    ],
)
def test_bitmask_is_read_however_its_alpha_was_written(url):
    np.testing.assert_array_equal(decode_bitmask(url, 4, 6), OBJECT)


def test_bitmask_without_transparency_is_all_object():
    url = data_url(Image.new("RGB", (6, 4)))
    assert decode_bitmask(url, 4, 6).all()


GOOD = encode_bitmask(OBJECT)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        pytest.param(None, "expected a data URL, got NoneType", id="none"),
        pytest.param("", "expected data:image/png;base64,..., got ''", id="empty"),
        pytest.param("http://host/a.png", "got 'http://host/a.png'", id="address"),
        pytest.param(GOOD.replace("png", "jpeg"), "got 'data:image/jpeg", id="jpeg"),
        pytest.param(PREFIX + "é" * 8, "not base64", id="not-ascii"),
        pytest.param(GOOD[:-3], "not base64", id="cut-in-base64"),
        pytest.param(GOOD[: len(PREFIX) + 80], "cannot be decoded", id="cut"),
        pytest.param(PREFIX, "its PNG of 0 bytes", id="no-bytes"),
        pytest.param(PREFIX + b64encode(b"GIF89a").decode(), "cannot be decoded", id="gif"),
    ],
)
def test_damaged_bitmask_is_refused(url, problem):
    with pytest.raises(BitmaskError, match="bitmask is damaged") as caught:
        decode_bitmask(url, 4, 6)
    assert problem in caught.value.message


def test_bitmask_of_another_size_is_refused_with_both_sizes():
    with pytest.raises(BitmaskError, match="expected 6 x 4 pixels, its PNG has 4 x 6"):
        decode_bitmask(GOOD, 6, 4)


def test_bitmask_of_another_size_is_refused_before_it_is_decompressed(monkeypatch):
    bomb = data_url(Image.new("1", (30_000, 30_000)))
    monkeypatch.setattr(Image.Image, "convert", None)
    with pytest.raises(BitmaskError, match="its PNG has 30000 x 30000"):
        decode_bitmask(bomb, 576, 768)


@pytest.mark.parametrize(
    ("height", "width"), [(0, 5), (5, -1), (MAX_PIXELS, 2)], ids=["no-row", "negative", "too-large"]
)
def test_size_that_no_mask_has_is_refused(height, width):
    with pytest.raises(MaskShapeError):
        decode_bitmask(GOOD, height, width)


@pytest.mark.parametrize(
    "mask",
    [
        pytest.param(np.zeros((4, 6), np.uint8), id="not-bool"),
        pytest.param(np.zeros((1, 4, 6), bool), id="not-2d"),
        pytest.param(np.zeros((0, 6), bool), id="empty"),
        pytest.param(np.broadcast_to(np.False_, (MAX_PIXELS, 2)), id="too-large"),
        pytest.param(np.broadcast_to(np.True_, (1, MAX_SIDE_PX + 1)), id="too-long"),
    ],
)
def test_array_that_is_no_mask_is_refused(mask):
    with pytest.raises(MaskShapeError):
        encode_bitmask(mask)


def test_longest_mask_comes_back_unchanged():
    mask = np.ones((1, MAX_SIDE_PX), bool)
    np.testing.assert_array_equal(decode_bitmask(encode_bitmask(mask), 1, MAX_SIDE_PX), mask)
