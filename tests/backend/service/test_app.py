import io
import json

import pytest
from fake_click_service import ERROR_FIELDS, FakeClickService, predict_body
from gunicorn.http.errors import InvalidChunkSize

from backend.core.errors import BusyError, ImageUnreachableError, LabelingConfigError
from backend.core.units import MEGABYTE
from backend.service.app import create_app
from backend.settings.settings import Settings


@pytest.fixture
def click_service():
    return FakeClickService()


@pytest.fixture
def client(click_service):
    return create_app(Settings(), click_service=click_service).test_client()


@pytest.mark.parametrize("path", ["/", "/health"])
def test_health_says_what_runs(client, path):
    response = client.get(path)
    assert response.status_code == 200
    assert response.json == {
        "status": "UP",
        "model_class": "MobileSAM",
        "model_version": "fake-1",
    }


def test_setup_passes_the_connection_on_and_answers_the_model_version(client, click_service):
    body = {
        "project": "1.1795350403",
        "schema": "<View/>",
        "hostname": "http://localhost:8080",
        "access_token": "TOKEN",
        "extra_params": None,
    }
    response = client.post("/setup", json=body)
    assert response.json == {"model_version": "fake-1"}
    assert click_service.asked == [
        {
            "project": "1.1795350403",
            "label_config": "<View/>",
            "hostname": "http://localhost:8080",
            "access_token": "TOKEN",
            "sender": "127.0.0.1",
        }
    ]


def test_predict_passes_tasks_and_prompts_on(client, click_service):
    response = client.post("/predict", json=predict_body())
    assert response.json == {"results": click_service.answer}
    assert click_service.asked[0]["context"] == []
    assert click_service.asked[0]["tasks"][0]["id"] == 4


@pytest.mark.parametrize(
    "params",
    [
        pytest.param(None, id="no-params"),
        pytest.param({}, id="no-context"),
        pytest.param({"context": None}, id="context-null"),
    ],
)
def test_predict_without_prompts_has_no_context(client, click_service, params):
    client.post("/predict", json=predict_body(params=params))
    assert click_service.asked[0]["context"] is None


def test_webhook_train_and_versions_answer_in_their_shapes(client):
    assert client.post("/webhook", json={"action": "START_TRAINING"}).json["status"] == "ok"
    assert client.post("/train", json={}).json["status"] == "ok"
    assert client.get("/versions").json == {"versions": ["fake-1"]}
    assert client.post("/versions", json={}).json == {"versions": ["fake-1"]}


@pytest.mark.parametrize(
    ("path", "data", "reason"),
    [
        pytest.param("/predict", b"{", "Body is not a JSON object", id="half-json"),
        pytest.param("/predict", b"[]", "Body is not a JSON object", id="list"),
        pytest.param("/predict", b"\xff\xfe", "Body is not a JSON object", id="binary"),
        pytest.param("/predict", b"{}", "Body's 'tasks' is not a list of tasks", id="no-tasks"),
        pytest.param(
            "/predict",
            b'{"tasks": [1]}',
            "Body's 'tasks' is not a list of tasks",
            id="tasks-of-numbers",
        ),
        pytest.param("/setup", b"{}", "Body's 'project' is missing", id="setup-without-project"),
        pytest.param(
            "/setup",
            b'{"project": 1}',
            "Body's 'project' is of type int, not text",
            id="project-is-a-number",
        ),
        pytest.param(
            "/predict",
            b'{"tasks": [{"id": 1, "data": {"image": "http://\\ud800/x.jpg"}}]}',
            "Body is not a JSON object",
            id="half-a-character",
        ),
        pytest.param(
            "/setup",
            json.dumps({"project": "1" * 101}).encode(),
            "Body's 'project' is of 101 characters, more than 100",
            id="long-project",
        ),
        pytest.param(
            "/predict",
            json.dumps(predict_body(project="1" * 101)).encode(),
            "Body's 'project' is of 101 characters, more than 100",
            id="long-project-of-a-click",
        ),
        pytest.param(
            "/setup",
            json.dumps({"project": "1", "schema": "", "hostname": "h" * 2001}).encode(),
            "Body's 'hostname' is of 2001 characters, more than 2000",
            id="long-hostname",
        ),
        pytest.param(
            "/setup",
            json.dumps({"project": "1", "schema": "", "access_token": "t" * 10_001}).encode(),
            "Body's 'access_token' is of 10001 characters, more than 10000",
            id="long-token",
        ),
        pytest.param("/webhook", b'{"a":' * 100_000, "Body is not a JSON object", id="deep"),
        pytest.param("/predict", b"[" * 100_000, "Body is not a JSON object", id="deep-list"),
        pytest.param("/predict", b'{"tasks": NaN}', "Body is not a JSON object", id="not-a-number"),
        pytest.param("/webhook", b"", "Body is not a JSON object", id="empty-webhook"),
        pytest.param(
            "/predict",
            json.dumps(predict_body(params={"context": [1]})).encode(),
            "Body's 'params.context' is not {'result': [regions]}",
            id="context-is-a-list",
        ),
        pytest.param(
            "/predict",
            json.dumps(predict_body(params=False)).encode(),
            "Body's 'params.context' is not {'result': [regions]}",
            id="params-false",
        ),
    ],
)
def test_bodies_of_another_shape_are_answered_400(client, path, data, reason):
    response = client.post(path, data=data)
    assert response.status == f"400 {reason}"
    assert response.json["error"].keys() == ERROR_FIELDS


def test_error_has_its_reason_in_the_status_line_and_the_story_in_the_body(client, click_service):
    click_service.error = ImageUnreachableError("no", remedy="do", reason="Image not reachable: no")
    response = client.post("/predict", json=predict_body())
    assert response.status == "422 Image not reachable: no"
    assert response.json == {
        "error": {
            "code": "image_unreachable",
            "reason": "Image not reachable: no",
            "message": "no",
            "remedy": "do",
            "request_id": response.headers["X-Request-ID"],
        }
    }


def test_reason_cannot_break_the_status_line(client, click_service):
    reason = "Label 'Кот'\r\nSet-Cookie: a=b " + "x" * 500
    click_service.error = LabelingConfigError("m", remedy="r", reason=reason)
    response = client.post("/setup", json={"project": "1", "schema": "<View/>"})
    assert response.status.startswith("422 Label '???'??Set-Cookie: a=b xxx")
    assert len(response.status) <= 124
    assert "Set-Cookie" not in response.headers
    assert response.json["error"]["reason"] == reason


def test_whole_characters_beyond_16_bits_are_taken(client, click_service):
    cat = predict_body(label_config="\U0001f408")
    assert client.post("/predict", data=json.dumps(cat)).status_code == 200
    assert click_service.asked[0]["label_config"] == "\U0001f408"


def test_busy_answer_says_when_to_come_again(client, click_service):
    click_service.error = BusyError("48 clicks wait", remedy="click again")
    response = client.post("/predict", json=predict_body())
    assert response.status == "503 Busy, click again in a moment"
    assert response.headers["Retry-After"] == "1"


def test_failed_click_is_one_line_of_the_log(client, click_service, caplog):
    click_service.error = ImageUnreachableError("a\nb\0c\x1b[31m", remedy="do")
    client.post("/predict", json=predict_body())
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    line = record.getMessage()
    assert line.startswith("method=POST path=/predict status=422 outcome=refused total_ms=")
    story = r'reason="Image not reachable" message="a\nb\x00c\x1b[31m" remedy=do'
    assert line.endswith(f" code=image_unreachable {story}")


def test_secrets_of_the_wrong_type_are_not_repeated(client, caplog):
    response = client.post(
        "/setup", json={"project": "1", "schema": "", "access_token": ["sesame"]}
    )
    assert response.status_code == 400
    assert "sesame" not in response.text + caplog.text


def brush_draft(regions):
    value = {"format": "rle", "rle": [171] * 5000, "brushlabels": ["Object"]}
    region = {"id": "r", "type": "brushlabels", "from_name": "m", "to_name": "i", "value": value}
    return [{"id": 1, "result": [region] * regions}]


def test_body_with_a_hundred_regions_of_the_draft_is_taken(client, click_service):
    tasks = [{"id": 4, "data": {"image": "/a.jpg"}, "drafts": brush_draft(100)}]
    assert client.post("/predict", json=predict_body(tasks=tasks)).status_code == 200
    (task,) = click_service.asked[0]["tasks"]
    assert task == {"id": 4, "data": {"image": "/a.jpg"}}  # which is all that answers depend on


@pytest.mark.parametrize(
    ("error", "cut"),
    [
        pytest.param(None, None, id="answered"),
        pytest.param(ImageUnreachableError("no", remedy="do"), None, id="refused"),
        pytest.param(ZeroDivisionError("a bug"), None, id="bug"),
        pytest.param(None, -1, id="no-json"),
    ],
)
def test_body_is_never_logged(client, click_service, caplog, error, cut):
    caplog.set_level("DEBUG")
    click_service.error = error
    tasks = [{"id": 4, "data": {"image": "/sesame.jpg"}, "drafts": brush_draft(2)}]
    body = json.dumps(predict_body(tasks=tasks, label_config="<View>sesame</View>"))
    client.post("/predict", data=body[:cut])
    client.post("/setup", data=body[:cut])
    client.post("/webhook", data=body[:cut])
    assert "sesame" not in caplog.text
    assert "171, 171" not in caplog.text


@pytest.mark.parametrize("path", ["/predict", "/setup", "/webhook"])
@pytest.mark.parametrize("length", [True, False], ids=["with-length", "chunked"])
def test_body_of_too_many_bytes_is_refused(click_service, path, length):
    client = create_app(Settings(max_request_mb=1), click_service=click_service).test_client()
    body = io.BytesIO(b" " * (MEGABYTE + 1))
    # As gunicorn does for a request without a length.
    chunked = {"wsgi.input_terminated": True, "wsgi.input": body, "CONTENT_LENGTH": ""}
    kind = {"input_stream": body, "content_length": MEGABYTE + 1}
    kind = kind if length else {"environ_overrides": chunked}
    response = client.post(path, **kind)
    assert response.status == "413 Request too large: more than 1 MB"
    assert response.json["error"].keys() == ERROR_FIELDS
    assert "MOBILESAM_MAX_REQUEST_MB" in response.json["error"]["remedy"]
    assert click_service.asked == []


@pytest.mark.parametrize("path", ["/predict", "/setup", "/webhook"])
@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        pytest.param(ConnectionResetError(), "400 Bad Request", "http", id="client-gone"),
        pytest.param(InvalidChunkSize(b"x"), "400 Body breaks off", "bad_request", id="no-chunk"),
    ],
)
def test_body_that_breaks_off_is_refused(client, path, error, status, code):
    class Broken:
        def read(self, *_):
            raise error

    response = client.post(
        path,
        content_type="application/json",
        environ_overrides={"wsgi.input": Broken(), "CONTENT_LENGTH": "100"},
    )
    assert response.status == status
    assert response.json["error"]["code"] == code


def test_bug_is_answered_500_without_a_traceback(client, click_service, caplog):
    click_service.error = ZeroDivisionError("secret detail")
    response = client.post("/predict", json=predict_body())
    assert response.status_code == 500
    assert response.json["error"].keys() == ERROR_FIELDS
    assert "secret detail" not in response.text
    assert "Traceback" not in response.text
    assert "secret detail" in caplog.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("PUT", "/setup", 405), ("GET", "/static/app.py", 404)],
)
def test_unknown_routes_have_the_error_shape_too(client, method, path, status):
    response = client.open(path, method=method)
    assert response.status_code == status
    assert response.json["error"].keys() == ERROR_FIELDS
