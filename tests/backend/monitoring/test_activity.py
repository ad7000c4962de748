import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from clicks import click

from backend.core.errors import ImageUnreachableError
from backend.monitoring.activity import CLICKS_KEPT, FAILURES_KEPT, Activity
from backend.monitoring.request_record import Fault, RequestRecord
from backend.service.app import create_app
from backend.settings.settings import Settings

UNREACHABLE = ImageUnreachableError("no host", remedy="set it", reason="Image not reachable")


def failed(task_id=4, message="no", **changes):
    values = {"route": "/predict", "task_ids": (task_id,), "project": "1.5"}
    return RequestRecord(**values | changes, fault=Fault("image", "Reason", message, "do"))


def activity_after(*records, status=422):
    activity = Activity(dict)
    for record in records:
        activity.answered(record, status)
    return activity


def recent(client):
    response = client.get("/activity")
    assert response.status_code == 200
    return response.json


def wait_for_failures(client, count=1):
    deadline_s = time.monotonic() + 10
    while len(failures := recent(client)["failures"]) < count and time.monotonic() < deadline_s:
        time.sleep(0.01)
    return failures


def test_nothing_has_happened_at_first(client):
    assert recent(client) == {"failures": [], "clicks": []}


def test_failed_click_is_shown_with_its_remedy(client, images):
    images["/a.png"] = UNREACHABLE
    response = click(client)
    (failure,) = recent(client)["failures"]
    at = datetime.fromisoformat(failure.pop("at"))
    assert abs(datetime.now(UTC) - at) < timedelta(hours=1)
    assert failure == {
        "request_id": response.headers["X-Request-ID"],
        "path": "/predict",
        "task_id": 4,
        "project": "1.1795350403",
        "code": "image_unreachable",
        "reason": "Image not reachable",
        "message": "no host",
        "remedy": "set it",
        "times": 1,
    }


def test_clicks_are_shown_with_their_steps_the_newest_first(client):
    ids = [click(client).headers["X-Request-ID"] for _ in range(2)]
    warm, first = recent(client)["clicks"]
    assert [first["request_id"], warm["request_id"]] == ids
    assert list(first["steps_ms"]) == ["fetch", "wait", "decode", "encode", "mask", "codec"]
    assert list(warm["steps_ms"]) == ["mask", "codec"]
    for shown in (first, warm):
        assert shown["total_ms"] >= sum(shown["steps_ms"].values()) - 0.5  # each is rounded
    assert (first["tiers"], warm["tiers"]) == (["encoder"], ["memory"])
    assert (warm["task_id"], warm["project"]) == (4, "1.1795350403")
    assert (warm["outcome"], warm["masks"]) == ("mask", 1)
    assert warm["prompts"] == {"points": 1, "negative_points": 0, "boxes": 0}


def test_click_that_fails_is_among_the_clicks_too(client, images):
    images["/a.png"] = UNREACHABLE
    click(client)
    (shown,) = recent(client)["clicks"]
    assert (shown["outcome"], list(shown["steps_ms"])) == ("refused", ["fetch"])


def test_opened_task_is_no_click(client):
    click(client, prompted=False)
    assert recent(client)["clicks"] == []


@pytest.mark.parametrize(
    ("image", "code"),
    [
        pytest.param(UNREACHABLE, "image_unreachable", id="not-fetched"),
        pytest.param(b"<html>", "image_undecodable", id="not-decoded"),
    ],
)
def test_opened_task_whose_image_cannot_be_prepared_is_a_failure(
    client, images, caplog, image, code
):
    images["/a.png"] = image
    assert click(client, prompted=False).status_code == 200
    (failure,) = wait_for_failures(client)
    assert (failure["code"], failure["task_id"]) == (code, 4)
    assert (failure["request_id"], failure["path"]) == (None, None)
    assert f"outcome=unprepared task=4 project=1.1795350403 code={code}" in caplog.text


def test_bug_in_the_background_is_a_failure_with_its_traceback_in_the_log(
    client, predictor, monkeypatch, caplog
):
    monkeypatch.setattr(predictor, "embed", lambda _image: 1 / 0)
    click(client, prompted=False)
    (failure,) = wait_for_failures(client)
    assert failure["code"] == "internal_error"
    assert "ZeroDivisionError: division by zero" in caplog.text


def test_guess_that_fails_is_told_when_somebody_opens_the_task():
    activity = Activity(dict)
    activity.unprepared(UNREACHABLE, task_id=5, project="1.5", is_guess=True)
    assert activity.recent()["failures"] == []
    activity.unprepared(UNREACHABLE, task_id=5, project="1.5", is_guess=False)
    assert len(activity.recent()["failures"]) == 1


def test_same_failure_again_is_counted_and_comes_first():
    activity = activity_after(
        failed(request_id="1"), failed(request_id="2", task_id=5), failed(request_id="3")
    )
    failures = activity.recent()["failures"]
    shown = [(failure["task_id"], failure["times"], failure["request_id"]) for failure in failures]
    assert shown == [(4, 2, "3"), (5, 1, "2")]


def test_failures_that_are_older_than_a_hundred_others_are_forgotten():
    activity = activity_after(*(failed(task_id=number) for number in range(FAILURES_KEPT + 5)))
    tasks = [failure["task_id"] for failure in activity.recent()["failures"]]
    assert tasks == list(range(FAILURES_KEPT + 4, 4, -1))


def test_stranger_who_knocks_pushes_no_failure_out(click_service, images):
    settings = Settings(basic_auth_user="anna", basic_auth_pass="pass")
    client = create_app(settings, click_service=click_service).test_client()
    images["/a.png"] = UNREACHABLE
    click(client, auth=("anna", "pass"))
    for number in range(2 * FAILURES_KEPT):
        client.post("/predict", json={"tasks": number})
        client.get(f"/nothing-{number}")
    response = client.get("/activity", auth=("anna", "pass"))
    codes = [failure["code"] for failure in response.json["failures"]]
    assert codes == ["unauthorized", "image_unreachable"]


def test_webhook_that_label_studio_does_not_authorize_is_no_failure():
    refused = failed(route="/webhook")
    assert activity_after(refused, status=401).recent()["failures"] == []


def test_clicks_older_than_the_latest_are_forgotten():
    clicks = [RequestRecord(request_id=str(number), prompts={}) for number in range(300)]
    shown = [
        click["request_id"] for click in activity_after(*clicks, status=200).recent()["clicks"]
    ]
    assert shown == [str(number) for number in range(299, 299 - CLICKS_KEPT, -1)]


def test_threads_lose_nothing():
    activity = Activity(dict)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(400):
            pool.submit(activity.answered, failed(prompts={}), 422)
    (failure,) = activity.recent()["failures"]
    assert failure["times"] == 400
    assert len(activity.recent()["clicks"]) == CLICKS_KEPT


def test_activity_needs_the_credentials(click_service):
    settings = Settings(basic_auth_user="anna", basic_auth_pass="pass")
    client = create_app(settings, click_service=click_service).test_client()
    assert client.get("/activity").status_code == 401
    assert client.get("/activity", auth=("anna", "pass")).status_code == 200
