import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from label_studio_sdk.label_interface import LabelInterface
from PIL import Image
from pycocotools import mask as coco_masks

from backend.codecs.brush import decode_brush
from backend.codecs.coco_rle import encode_rle, encode_rows
from backend.codecs.run_lengths import encode_runs
from backend.label_studio.projects import LABELING_CONFIG
from backend.service.page import downloads
from backend.service.page.bodies import MAX_OBJECTS, DrawnImage, DrawnObject
from backend.service.page.downloads import coco_instances, label_studio_tasks, png_file

SIZE_HW = (30, 50)
mask_lists = st.lists(arrays(np.bool_, SIZE_HW), min_size=1, max_size=3)


def drawn(masks):
    objects = [DrawnObject(encode_runs(mask), 0.9) for mask in masks]
    return DrawnImage("photo.jpg", SIZE_HW, objects)


@pytest.fixture
def masks():
    masks = np.zeros((2, *SIZE_HW), np.bool_)
    masks[0, 3:9, 4:20] = True
    masks[1, 12:25, 30:44] = True
    masks[1, 15:18, 33:36] = False  # a hole
    return masks


@given(mask_lists)
def test_png_is_255_on_objects_and_0_elsewhere(masks):
    picture = Image.open(io.BytesIO(png_file(drawn(masks))))
    assert picture.mode == "L"
    assert np.array_equal(np.asarray(picture), np.any(masks, axis=0) * np.uint8(255))


@given(mask_lists)
def test_coco_holds_every_object_with_every_pixel(masks):
    coco = coco_instances(drawn(masks))
    assert json.loads(json.dumps(coco)) == coco
    for mask, annotation in zip(masks, coco["annotations"], strict=True):
        assert np.array_equal(coco_masks.decode(annotation["segmentation"]), mask)
        assert annotation["area"] == mask.sum()


def test_coco_is_one_image_with_boxes_and_a_category(masks):
    coco = coco_instances(drawn(masks))
    assert coco["images"] == [{"id": 1, "file_name": "photo.jpg", "height": 30, "width": 50}]
    assert coco["categories"] == [{"id": 1, "name": "Object"}]
    assert [item["bbox"] for item in coco["annotations"]] == [[4, 3, 16, 6], [30, 12, 14, 13]]
    assert [item["id"] for item in coco["annotations"]] == [1, 2]


def test_label_studio_task_fits_the_labeling_config_of_the_readme(masks):
    (task,) = label_studio_tasks(drawn(masks))
    (annotation,) = task["annotations"]
    interface = LabelInterface(LABELING_CONFIG)
    assert interface.validate_annotation(annotation)
    assert task["data"] == {"image": "photo.jpg"}
    assert len({region["id"] for region in annotation["result"]}) == 2
    for mask, region in zip(masks, annotation["result"], strict=True):
        assert region["type"] == "brushlabels"
        assert region["value"]["brushlabels"] == ["Object"]
        assert np.array_equal(decode_brush(region["value"]["rle"], *SIZE_HW), mask)


def body(masks, **changes):
    objects = [{"runs": encode_runs(mask), "score": 0.9} for mask in masks]
    return {"name": "photo.jpg", "height": 30, "width": 50, "objects": objects} | changes


@pytest.mark.parametrize(
    ("kind", "mimetype"),
    [("png", "image/png"), ("label-studio", "application/json"), ("coco", "application/json")],
)
def test_downloads_are_served(client, masks, kind, mimetype):
    response = client.post(f"/playground/downloads/{kind}", json=body(masks))
    assert response.status_code == 200
    assert response.mimetype == mimetype


def test_downloads_need_no_embedding(client, predictor, masks):
    assert client.post("/playground/downloads/coco", json=body(masks)).status_code == 200
    assert predictor.embedded == []


def test_other_kinds_of_download_are_not_there(client, masks):
    assert client.post("/playground/downloads/yolo", json=body(masks)).status_code == 404


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"name": None}, id="no-name"),
        pytest.param({"height": 0}, id="no-height"),
        pytest.param({"height": "30"}, id="height-as-text"),
        pytest.param({"height": 1, "width": 1_000_001}, id="wider-than-a-png"),
        pytest.param({"width": 10**9}, id="beyond-max-pixels"),
        pytest.param({"objects": []}, id="no-objects"),
        pytest.param({"objects": [1]}, id="object-is-a-number"),
        pytest.param({"objects": [{"runs": [1500]}]}, id="no-score"),
        pytest.param({"objects": [{"runs": 5, "score": 1}]}, id="runs-is-a-number"),
        pytest.param(
            {"objects": [{"runs": [1500], "score": 1}] * (MAX_OBJECTS + 1)}, id="too-many-objects"
        ),
    ],
)
def test_downloads_of_another_shape_are_answered_400(client, masks, changes):
    response = client.post("/playground/downloads/png", json=body(masks, **changes))
    assert response.status_code == 400
    assert response.json["error"]["remedy"]


@pytest.mark.parametrize("kind", ["png", "label-studio", "coco"])
def test_runs_that_do_not_fill_the_image_are_answered_422(client, masks, kind):
    changed = body(masks, objects=[{"runs": [1499], "score": 1}])
    response = client.post(f"/playground/downloads/{kind}", json=changed)
    assert response.status == "422 Runs do not fill the mask"


def test_empty_object_gives_a_file_too(client):
    empty = np.zeros(SIZE_HW, np.bool_)
    coco = client.post("/playground/downloads/coco", json=body([empty])).json
    assert coco["annotations"][0]["area"] == 0


@given(arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9))), st.integers(0, 3))
def test_rows_are_compressed_as_the_whole_mask_is(mask, blank):
    mask[:blank] = False
    rows = np.flatnonzero(mask.any(axis=1))
    top, bottom = (rows[0], rows[-1] + 1) if len(rows) else (0, 0)
    found = encode_rows(mask[top:bottom], top=int(top), height=len(mask))
    assert found == encode_rle(mask)


@pytest.mark.parametrize("kind", ["png", "coco", "label-studio"])
def test_objects_of_more_pixels_than_are_drawn_are_refused(client, kind):
    side = 10_000
    whole = {"runs": [0, side * side], "score": 0.5}
    sent = {"name": "a.jpg", "height": side, "width": side, "objects": [whole] * 5}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(downloads, "MAX_DRAWN_PIXELS", 1)
        response = client.post(f"/playground/downloads/{kind}", json=sent)
    assert response.status == "413 Too many pixels in one download"
    assert response.json["error"]["remedy"] == "download fewer of them at once"


def test_small_objects_of_a_large_image_cost_their_rows_only(client):
    side = 10_000
    dots = [
        {"runs": [side * row + 5, 1, side * side - side * row - 6], "score": 0.5}
        for row in range(100)
    ]
    sent = {"name": "a.jpg", "height": side, "width": side, "objects": dots}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(downloads, "MAX_DRAWN_PIXELS", 100 * side)
        response = client.post("/playground/downloads/coco", json=sent)
    boxes = [annotation["bbox"] for annotation in response.json["annotations"]]
    assert boxes == [[5.0, float(row), 1.0, 1.0] for row in range(100)]
