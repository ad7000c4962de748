"""Zoom in the service: a small object of a large image, boxed and clicked on."""

import io
from contextlib import closing

import numpy as np
import pytest
from PIL import Image
from segmenting import box, click, predict
from small_objects import LARGE_HW

from backend.codecs.brush import decode_brush
from backend.core.errors import ImageError
from backend.segmentation.click_service import ClickService
from backend.segmentation.zoomed_clicks import ZoomChoice
from backend.settings.settings import Settings
from mobilesam import ObjectPrompt
from mobilesam.mask_geometry import bounding_box, central_point
from mobilesam.zoom import ImagePixels, predict_zoomed


@pytest.fixture
def encoded(demo_predictor, monkeypatch):
    """The sizes of the pictures that were encoded."""
    sizes = []
    embed_batch = demo_predictor.embed_batch

    def count(images):
        sizes.extend(image.shape[:2] for image in images)
        return embed_batch(images)

    monkeypatch.setattr(demo_predictor, "embed_batch", count)
    return sizes


def zooming(predictor, **settings):
    return ClickService(predictor, Settings(zoom="on", prefetch_tasks=0, **settings))


@pytest.fixture
def service(demo_predictor, files, large_image):
    file = io.BytesIO()
    Image.fromarray(large_image).save(file, "PNG")
    files.content = {"/data/upload/1/a.jpg": file.getvalue()}
    with closing(zooming(demo_predictor)) as service:
        yield service


def percent(x, y):
    return 100 * x / LARGE_HW[1], 100 * y / LARGE_HW[0]


def box_about(mask):
    left, top, right, bottom = bounding_box(mask)
    x, y = percent(left, top)
    return box(x, y, *percent(right - left, bottom - top))


def mask_of(prediction):
    (region,) = prediction["result"]
    return decode_brush(region["value"]["rle"], *LARGE_HW)


def test_box_on_a_small_object_is_answered_from_a_window(
    service, demo_predictor, encoded, large_image, large_mask
):
    prediction = predict(service, box_about(large_mask))
    prompt = ObjectPrompt(box_xyxy=tuple(bounding_box(large_mask)))
    expected = predict_zoomed(demo_predictor, ImagePixels(demo_predictor, large_image), prompt)
    assert encoded[0] == LARGE_HW
    side, _ = encoded[1]
    assert encoded[1] == (side, side)
    # Embeddings are kept in half precision, so single pixels at the edge may differ.
    assert np.count_nonzero(mask_of(prediction) != expected.masks[0]) < 20


def test_same_box_again_encodes_nothing_and_fetches_nothing(service, encoded, files, large_mask):
    first = predict(service, box_about(large_mask))
    assert len(encoded) == 2
    again = predict(service, box_about(large_mask))
    assert len(encoded) == 2
    assert len(files.fetched) == 1
    assert np.array_equal(mask_of(first), mask_of(again))


def test_first_click_encodes_no_window_and_the_second_one_does(service, encoded, files, large_mask):
    x, y = central_point(large_mask)
    first = click(*percent(x, y))
    predict(service, first)
    assert encoded == [LARGE_HW]
    predict(service, first, click(*percent(x + 2, y + 1)))
    assert len(encoded) == 2
    assert len(files.fetched) == 1


def test_replica_that_never_saw_the_earlier_clicks_answers_the_same(
    service, demo_predictor, large_mask
):
    x, y = central_point(large_mask)
    clicks = [click(*percent(x + step, y + step)) for step in (0, 2, 4)]
    predict(service, clicks[0])
    predict(service, *clicks[:2])
    last = predict(service, *clicks)
    with closing(zooming(demo_predictor)) as replica:
        assert np.array_equal(mask_of(predict(replica, *clicks)), mask_of(last))


def test_pixels_that_were_dropped_are_fetched_again(demo_predictor, service, files, large_mask):
    with closing(zooming(demo_predictor)) as other:
        other._images._pixels._files.max_bytes = other._images._pixels._images.max_bytes = 1
        kept = predict(service, box_about(large_mask))
        fetched = len(files.fetched)
        fetched_again = predict(other, box_about(large_mask))
        assert len(files.fetched) == fetched + 2
        assert np.array_equal(mask_of(fetched_again), mask_of(kept))


def test_image_that_was_replaced_meanwhile_is_named(demo_predictor, files, service, large_mask):
    with closing(zooming(demo_predictor)) as other:
        other._images._pixels._files.max_bytes = other._images._pixels._images.max_bytes = 1
        predict(other, click(10, 10))
        files.content = {}
        with pytest.raises(ImageError, match="another one than a moment ago"):
            predict(other, box_about(large_mask))


def test_nothing_is_zoomed_when_it_is_off(demo_predictor, files, service, encoded, large_mask):
    with closing(ClickService(demo_predictor, Settings(zoom="off", prefetch_tasks=0))) as off:
        predict(off, box_about(large_mask))
    assert encoded == [LARGE_HW]


@pytest.mark.parametrize(
    ("setting", "encode_s", "is_on_gpu", "is_on", "reason"),
    [
        pytest.param("auto", 0.399, False, True, "an encode takes 399 ms", id="fast"),
        pytest.param(
            "auto", 0.4, False, False, "an encode takes 400 ms, 400 ms or more", id="slow"
        ),
        pytest.param("auto", None, False, False, "is not known", id="unknown"),
        pytest.param("auto", 9.0, True, True, "a GPU", id="gpu"),
        pytest.param("on", 9.0, False, True, "MOBILESAM_ZOOM=on", id="on"),
        pytest.param("off", 0.1, True, False, "MOBILESAM_ZOOM=off", id="off"),
    ],
)
def test_zoom_is_on_where_an_encode_is_fast(setting, encode_s, is_on_gpu, is_on, reason):
    choice = ZoomChoice.of(setting, encode_s, is_on_gpu=is_on_gpu)
    assert choice.is_on == is_on
    assert reason in choice.reason
