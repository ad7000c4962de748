"""Every /predict that a real Label Studio sent, answered from end to end with a fake model."""

import pytest
from fake_model import png
from recordings import recorded_requests, recording

from backend.codecs.brush import decode_brush
from backend.images.fetch import ImageLoader
from backend.segmentation.click_service import ClickService
from backend.service.app import create_app
from backend.settings.settings import Settings

IMAGE_HW = (90, 120)
PREDICTS = recorded_requests("/predict")
PROMPTED = [
    name
    for name, request in PREDICTS.items()
    if ((request["body"]["params"] or {}).get("context") or {}).get("result")
]


def sent_size_hw(request):
    region = request["body"]["params"]["context"]["result"][0]
    return region["original_height"], region["original_width"]


@pytest.fixture
def fetched(monkeypatch):
    """What was fetched; every address holds an image of the size that the test sets."""
    addresses = []
    size_hw = [IMAGE_HW]

    def fetch(_self, uri, *, task_id, project):
        addresses.append(uri)
        return png(*size_hw[0])

    monkeypatch.setattr(ImageLoader, "fetch", fetch)
    return addresses, size_hw


@pytest.fixture
def client(predictor, fetched):
    settings = Settings()
    return create_app(settings, click_service=ClickService(predictor, settings)).test_client()


def test_recordings_are_there():
    assert len(PREDICTS) >= 30
    assert len(PROMPTED) >= 20


@pytest.mark.parametrize("name", PROMPTED)
def test_recorded_prompt_gets_a_mask_at_its_place(client, predictor, fetched, name):
    request = recording(name)
    addresses, size_hw = fetched
    size_hw[0] = height, width = sent_size_hw(request)
    response = client.post(request["path"], json=request["body"])
    assert response.status_code == 200, response.text
    (prediction,) = response.json["results"]
    assert prediction["model_version"] == "fake-1"
    assert prediction["score"] == 0.75

    sent = request["body"]["params"]["context"]["result"]
    masks = [region for region in prediction["result"] if "rle" in region["value"]]
    assert len(masks) == len(predictor.answered) > 0
    assert len({region["id"] for region in masks}) == len(masks)
    assert not {region["id"] for region in masks} & {region["id"] for region in sent}
    for region, (points, _labels, box) in zip(masks, predictor.answered, strict=True):
        assert (region["original_height"], region["original_width"]) == (height, width)
        assert region["image_rotation"] == sent[-1]["image_rotation"]
        assert region.get("item_index") == sent[-1].get("item_index")
        assert region["to_name"] == sent[-1]["to_name"]
        mask = decode_brush(region["value"]["rle"], height, width)
        x, y = points[0] if points else ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        assert mask[int(y), int(x)]
    item_index = sent[-1].get("item_index", 0)
    value = next(iter(request["body"]["tasks"][0]["data"].values()))
    assert addresses == [value[item_index] if isinstance(value, list) else value]


@pytest.mark.parametrize("name", PROMPTED)
def test_recorded_prompt_sent_twice_runs_one_encode_and_one_fetch(client, predictor, fetched, name):
    request = recording(name)
    addresses, _ = fetched
    for _ in range(2):
        assert client.post(request["path"], json=request["body"]).status_code == 200
    assert len(predictor.embedded) == 1
    assert len(addresses) == 1


@pytest.mark.parametrize("name", [name for name in PREDICTS if name.startswith("predict_")])
def test_recorded_request_without_prompt_stores_nothing(client, name):
    request = recording(name)
    response = client.post(request["path"], json=request["body"])
    assert response.json == {"results": []}


def test_opened_task_is_embedded_before_its_first_click(client, predictor):
    opened = recording("predict_open_task")
    client.post("/predict", json=opened["body"])
    assert predictor.has_embedded.wait(10)
    click = recording("kp_1_positive")["body"]
    click["tasks"], click["project"] = opened["body"]["tasks"], opened["body"]["project"]
    assert client.post("/predict", json=click).status_code == 200
    assert len(predictor.embedded) == 1


def test_recorded_clicks_on_one_object_take_its_mask_along(client, predictor):
    """Three clicks as they were made, then one of another label, and one after Accept."""
    for name in (
        "kp_1_positive",
        "kp_2_positive",
        "kp_2_positive_1_negative",
        "kp_other_label",
        "kp_after_accept",
    ):
        assert client.post("/predict", json=recording(name)["body"]).status_code == 200
    assert [len(points) for points, *_ in predictor.prompts] == [1, 2, 3, 1, 1]
    assert [mask is not None for mask in predictor.previous] == [False, True, True, False, False]


def test_interactive_call_with_nothing_to_do_gets_an_empty_result(client):
    request = recording("kp_empty_result")
    (prediction,) = client.post("/predict", json=request["body"]).json["results"]
    assert prediction["result"] == []


@pytest.mark.parametrize("name", recorded_requests("/setup"))
def test_recorded_setup_answers_the_version_of_predictions(client, name):
    request = recording(name)
    response = client.post("/setup", json=request["body"])
    assert response.json == {"model_version": "fake-1"}


@pytest.mark.parametrize("name", recorded_requests("/webhook"))
def test_recorded_webhook_is_taken(client, name):
    request = recording(name)
    assert client.post("/webhook", json=request["body"]).status_code == 200


@pytest.mark.parametrize("path", ["/health", "/versions"])
def test_recorded_get_is_answered(client, path):
    (request,) = recorded_requests(path).values()
    response = client.get(path, headers=request["headers"])
    assert response.status_code == 200
    assert response.is_json
