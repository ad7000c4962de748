"""The work that a JPEG would be, counted before it is decoded."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from backend.core.errors import ImageUndecodableError
from backend.images.decode import decode_image
from backend.images.jpeg import MAX_SCANNED_PIXELS, MAX_SCANS, MAX_SEGMENTS, too_much_work
from benchmarks.hostile_inputs import jpeg_of_scans, jpeg_of_segments


def file(side_px=64, mode="RGB", **options):
    buffer = io.BytesIO()
    noise = np.random.default_rng(1).integers(0, 256, (side_px, side_px, 4), np.uint8)
    Image.fromarray(noise).convert(mode).save(buffer, "JPEG", **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(jpeg_of_scans(10_000, 240), id="scans-of-many-pixels"),
        pytest.param(jpeg_of_scans(16, MAX_SCANS), id="many-scans-of-few-pixels"),
        pytest.param(jpeg_of_segments(MAX_SEGMENTS), id="segments"),
        pytest.param(b"\xff\xd8\xff\xfe\0\2" + b"\xff\0" * 2**17, id="no-marker-for-long"),
        pytest.param(
            jpeg_of_scans(16, 6).replace(b"\xff\xda", b"\xff\xfe\0\2" * 1000 + b"\xff\xda"),
            id="segments-between-scans",
        ),
    ],
)
def test_jpeg_of_too_much_work_is_refused_before_it_is_decoded(file):
    with pytest.raises(ImageUndecodableError, match="cannot decode image of task 4: a JPEG of"):
        decode_image(file, name="image of task 4", max_pixels=10**9)


def test_end_marker_inside_a_segment_hides_no_scan():
    """A comment that holds ff d9 between two scans is no end."""
    scans = jpeg_of_scans(16, 2 * MAX_SCANS)
    comment = b"\xff\xfe\0\x06\xff\xd9\xff\xd9"
    first = scans.index(b"\xff\xda", scans.index(b"\xff\xda") + 2)
    assert too_much_work(scans[:first] + comment + scans[first:])


@given(
    mode=st.sampled_from(["RGB", "L", "CMYK"]),
    progressive=st.booleans(),
    quality=st.integers(1, 100),
    restart=st.sampled_from([0, 1, 7]),
    trailer=st.binary(max_size=50),
)
def test_what_encoders_write_is_little_work(mode, progressive, quality, restart, trailer):
    options = {"progressive": progressive, "quality": quality, "restart_marker_blocks": restart}
    assert too_much_work(file(mode=mode, **options) + trailer) is None


def test_20_scans_of_100_megapixels_are_the_bound():
    assert MAX_SCANNED_PIXELS == 20 * 10**8
    assert too_much_work(jpeg_of_scans(10_000, 20 - 6)) is None
    assert too_much_work(jpeg_of_scans(10_000, 20 - 5))


@given(st.binary(max_size=300))
def test_any_bytes_have_an_answer(tail):
    too_much_work(b"\xff\xd8\xff" + tail)


@pytest.mark.parametrize("progressive", [False, True], ids=["baseline", "progressive"])
@pytest.mark.parametrize(
    "end", [b"", b"\xff", b"SEFHe" + b"x" * 600 + b"SEFT"], ids=["none", "half", "trailer"]
)
def test_jpeg_that_lacks_only_its_end_is_decoded(progressive, end):
    whole = file(progressive=progressive)
    expected = decode_image(whole, name="image", max_pixels=10**6)
    found = decode_image(whole[:-2] + end, name="image", max_pixels=10**6)
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("progressive", [False, True], ids=["baseline", "progressive"])
def test_jpeg_that_lacks_pixels_is_refused(progressive):
    whole = file(progressive=progressive, quality=90)
    refused = 0
    for missing in range(10, 400, 13):
        try:
            found = decode_image(whole[:-missing], name="image", max_pixels=10**6)
        except ImageUndecodableError:
            refused += 1
        else:  # the last bits may be nothing but padding
            assert np.array_equal(found, decode_image(whole, name="image", max_pixels=10**6))
    assert refused == len(range(10, 400, 13))
