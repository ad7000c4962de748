import io
import json
import threading

import numpy as np
import pytest
from fake_model import png
from PIL import Image

from backend.codecs.run_lengths import decode_runs
from backend.images.samples import NAMES
from backend.segmentation.sent_images import Playground
from backend.service.page.bodies import MAX_POINTS
from backend.service.page.playground_routes import MAX_LARGE_BODIES

SIZE_HW = (100, 200)
CLICK = {"points": [[50.5, 40]], "labels": [1], "box": None}
DEADLINE_S = 10
ERROR_FIELDS = {"code", "reason", "message", "remedy"}


def send(client, data, **headers):
    return client.post(
        "/playground/images", data=data, headers={"Content-Type": "image/png"} | headers
    )


@pytest.fixture
def image(client):
    return send(client, png(*SIZE_HW)).json["image"]


def ask(client, image, /, **changes):
    return client.post("/playground/masks", json={"image": image} | CLICK | changes)


def mask_of(response):
    return decode_runs(response.json["runs"], *SIZE_HW)


def disc(x, y, radius=20):
    rows, columns = np.mgrid[0 : SIZE_HW[0], 0 : SIZE_HW[1]]
    return np.hypot(columns - x, rows - y) < radius


def test_click_gets_the_mask_of_the_image_that_was_sent(client, image, predictor):
    response = ask(client, image)
    assert response.status_code == 200
    assert response.json["score"] == 0.75
    assert np.array_equal(mask_of(response), disc(50.5, 40))
    assert predictor.prompts == [([(50.5, 40.0)], [1], None)]


def test_box_and_negative_point_reach_the_model(client, image, predictor):
    response = ask(
        client, image, points=[[30, 30], [60, 30]], labels=[1, 0], box=[10, 10, 80, 60.5]
    )
    mask = mask_of(response)
    assert mask[30, 30]
    assert not mask[30, 60]
    assert predictor.prompts[-1] == ([(30, 30), (60, 30)], [1, 0], (10, 10, 80, 60.5))


def test_image_is_encoded_once_however_often_it_is_sent_and_clicked(client, image, predictor):
    assert send(client, png(*SIZE_HW)).json == {"image": image, "height": 100, "width": 200}
    ask(client, image)
    ask(client, image)
    assert len(predictor.embedded) == 1


def test_photograph_has_the_size_and_mask_as_displayed(client):
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # turned a quarter
    Image.new("RGB", (100, 200)).save(buffer, "JPEG", exif=exif)
    sent = send(client, buffer.getvalue()).json
    assert (sent["height"], sent["width"]) == SIZE_HW
    assert np.array_equal(mask_of(ask(client, sent["image"])), disc(50.5, 40))


def test_image_that_was_never_sent_or_was_dropped_is_404(client):
    response = ask(client, "0" * 64)
    assert response.status == "404 Image not here any more, send it again"
    assert response.json["error"]["code"] == "unknown_image"


def test_dropped_image_is_embedded_again_when_it_is_sent_again(make_client, predictor):
    client = make_client(cache_mb=0)
    image = send(client, png(*SIZE_HW)).json["image"]
    assert ask(client, image).status_code == 404
    assert send(client, png(*SIZE_HW)).json["image"] == image
    assert len(predictor.embedded) == 2


def test_embedding_on_the_disk_answers_after_a_restart(make_client, predictor, tmp_path):
    first = make_client(cache_dir=str(tmp_path))
    image = send(first, png(*SIZE_HW)).json["image"]
    deadline = threading.Event()
    while not list(tmp_path.rglob("*")) or first.get("/health").json["cache"]["disk"]["bytes"] == 0:
        deadline.wait(0.05)
    second = make_client(cache_dir=str(tmp_path))
    assert ask(second, image).status_code == 200
    assert len(predictor.embedded) == 1


@pytest.mark.parametrize(
    ("data", "settings", "status", "code"),
    [
        pytest.param(b"hello", {}, 422, "image_undecodable", id="no-picture"),
        pytest.param(b"", {}, 422, "image_undecodable", id="nothing"),
        pytest.param(png(*SIZE_HW)[:-40], {}, 422, "image_undecodable", id="half"),
        pytest.param(
            png(*SIZE_HW), {"max_pixels": 19_999}, 422, "image_too_large", id="too-many-pixels"
        ),
        pytest.param(
            bytes(2**20 + 1), {"max_image_mb": 1}, 422, "image_too_large", id="too-many-bytes"
        ),
    ],
)
def test_image_that_cannot_be_used_is_an_error_with_a_remedy(
    make_client, predictor, data, settings, status, code
):
    response = send(make_client(**settings), data)
    assert response.status_code == status
    error = response.json["error"]
    assert error["code"] == code
    assert error["remedy"]
    assert predictor.embedded == []


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("text/plain", id="text"),
        pytest.param("application/x-www-form-urlencoded", id="form"),
        pytest.param("multipart/form-data; boundary=x", id="upload-form"),
    ],
)
def test_image_as_a_form_of_any_site_could_send_it_is_refused(client, predictor, kind):
    response = send(client, png(*SIZE_HW), **{"Content-Type": kind})
    assert response.status == "400 Content-Type is not an image's"
    assert predictor.embedded == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"image": 4}, "Body's 'image' is not an image's id", id="image"),
        pytest.param({"image": "0" * 63}, None, id="short-id"),
        pytest.param({"image": "x" * 100_000}, None, id="long-id"),
        pytest.param({"points": "here"}, None, id="points-as-text"),
        pytest.param({"points": [[1]]}, None, id="half-a-point"),
        pytest.param({"points": [[1, None]]}, None, id="nothing-as-y"),
        pytest.param({"points": [["1", "2"]]}, None, id="text-as-x"),
        pytest.param({"points": [[1e300, 1]]}, None, id="far-away"),
        pytest.param({"points": [[True, 1]]}, None, id="boolean-as-x"),
        pytest.param(
            {"points": [[1, 1]] * (MAX_POINTS + 1), "labels": [1] * (MAX_POINTS + 1)},
            f"Body's 'points' is not at most {MAX_POINTS} pairs [x, y]",
            id="too-many-points",
        ),
        pytest.param({"labels": [2]}, None, id="label-2"),
        pytest.param({"labels": [True]}, None, id="label-true"),
        pytest.param({"labels": []}, None, id="too-few-labels"),
        pytest.param({"box": [1, 2, 3]}, None, id="three-sides"),
        pytest.param(
            {"box": [5, 5, 5, 9]},
            "Body's 'box' is not null or [left, top, right, bottom]",
            id="flat-box",
        ),
        pytest.param({"box": [9, 9, 5, 5]}, None, id="box-from-below"),
        pytest.param({"box": ["a", 0, 1, 1]}, None, id="text-as-side"),
    ],
)
def test_prompts_of_another_shape_are_answered_400(client, image, predictor, changes, reason):
    response = ask(client, image, **changes)
    assert response.status_code == 400
    assert response.json["error"].keys() >= ERROR_FIELDS
    assert reason is None or response.json["error"]["reason"] == reason
    assert predictor.prompts == []


def test_click_is_listed_with_its_prompts_and_steps(client, image):
    ask(client, image, points=[[30, 30], [60, 30]], labels=[1, 0], box=[10, 10, 80, 60])
    (click,) = client.get("/activity").json["clicks"]
    assert click["prompts"] == {"points": 1, "negative_points": 1, "boxes": 1}
    assert click["outcome"] == "mask"
    assert click["tiers"] == ["memory"]
    assert click["task_id"] is None
    assert click["steps_ms"].keys() == {"mask", "codec"}


def test_infinite_numbers_are_no_json(client, image):
    body = json.dumps({"image": image} | CLICK | {"points": [[float("nan"), 1]]})
    response = client.post("/playground/masks", data=body, content_type="application/json")
    assert response.status_code == 400


def test_negative_point_alone_is_refused_with_what_to_do(client, image, predictor):
    response = ask(client, image, labels=[0])
    assert response.status == "422 Negative points need an object: click on it first"
    assert predictor.prompts == []


def test_json_must_say_that_it_is_json(client, image):
    response = client.post(
        "/playground/masks", data=b'{"image": "x"}', headers={"Content-Type": "text/plain"}
    )
    assert response.status == "400 Body is not a JSON object"


@pytest.mark.parametrize("address", ["/playground/masks", "/playground/downloads/png"])
def test_body_beyond_its_bound_is_not_read(client, address):
    response = client.post(
        address, data=b"{}", headers={"Content-Type": "application/json", "Content-Length": "9" * 9}
    )
    assert response.status_code in (400, 413)
    assert response.json["error"].keys() >= ERROR_FIELDS


def test_more_images_at_once_than_there_is_room_for_are_busy(client, monkeypatch):
    go_on, begun = threading.Event(), threading.Semaphore(0)
    embed = Playground.embed

    def embed_slowly(playground, data):
        begun.release()
        assert go_on.wait(DEADLINE_S)
        return embed(playground, data)

    monkeypatch.setattr(Playground, "embed", embed_slowly)
    clients = [client.application.test_client() for _ in range(MAX_LARGE_BODIES)]
    senders = [threading.Thread(target=send, args=(one, png(*SIZE_HW))) for one in clients]
    try:
        for sender in senders:
            sender.start()
        for _ in senders:
            assert begun.acquire(timeout=DEADLINE_S)
        response = send(client, png(*SIZE_HW))
    finally:
        go_on.set()
        for sender in senders:
            sender.join(DEADLINE_S)
    assert response.status == "503 Busy, click again in a moment"
    assert response.headers["Retry-After"] == "1"
    assert send(client, png(*SIZE_HW)).status_code == 200


@pytest.mark.parametrize("name", NAMES)
def test_samples_are_pictures(client, name):
    response = client.get(f"/playground/samples/{name}")
    assert response.mimetype == "image/png"
    assert Image.open(io.BytesIO(response.data)).size[0] > 300


@pytest.mark.parametrize("name", ["scene_1.png", "..%2fsecret", "coins"])
def test_other_samples_are_not_there(client, name):
    assert client.get(f"/playground/samples/{name}").status_code == 404
