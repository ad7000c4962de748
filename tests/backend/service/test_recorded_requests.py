"""What a request leaves behind: headers, a line of the log, ids in errors."""

import re
import threading

import pytest
from clicks import click
from waiting import wait_until

from backend.core.errors import ImageUnreachableError
from backend.label_studio.projects import LABELING_CONFIG
from backend.monitoring.request_record import current_record
from backend.segmentation.click_service import ClickService
from backend.service.app import create_app
from backend.settings.settings import Settings

DEADLINE_S = 10


def timings(response):
    """(names of the steps in their order, the cache's tiers) of a Server-Timing header."""
    header = response.headers["Server-Timing"]
    cache = re.search(r'cache;desc="([a-z,]+)"', header)
    return re.findall(r"(\w+);dur=\d+\.\d", header), cache and cache[1]


def test_first_click_times_every_step_and_a_warm_one_only_its_own(client):
    assert timings(click(client)) == (
        ["fetch", "wait", "decode", "encode", "mask", "codec", "total"],
        "encoder",
    )
    assert timings(click(client)) == (["mask", "codec", "total"], "memory")


def test_log_line_of_a_click_tells_what_it_did(client, caplog):
    caplog.set_level("INFO", logger="backend")
    click(client, headers={"X-Request-ID": "my-1"})
    (line,) = [entry.getMessage() for entry in caplog.records]
    assert line.startswith(
        "method=POST path=/predict status=200 outcome=mask task=4 project=1.1795350403 "
        "points=1 negative_points=0 boxes=0 masks=1 cache=encoder fetch_ms="
    )
    assert line.endswith(" request=my-1")


def test_click_that_finds_its_image_on_the_disk_says_so(predictor, images, tmp_path):
    settings = Settings(prefetch_tasks=0, cache_dir=str(tmp_path))
    for expected in ("encoder", "disk"):  # the second one is a restart
        click_service = ClickService(predictor, settings)
        client = create_app(settings, click_service=click_service).test_client()
        steps, tiers = timings(click(client))
        assert tiers == expected
        assert "load" in steps
        wait_until(lambda: list(tmp_path.rglob("*.embedding")))
        click_service.close()
    assert len(predictor.embedded) == 1


def test_click_that_waits_for_another_one_is_served_by_the_encoder_too(
    client, click_service, predictor
):
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(timings(click(client)))) for _ in range(2)
    ]
    with predictor.held() as has_begun:
        threads[0].start()
        assert has_begun.wait(DEADLINE_S)
        threads[1].start()
        while click_service._images._waiting_room._value > click_service._images._max_waiting - 2:
            threading.Event().wait(0.01)
    for thread in threads:
        thread.join()
    assert [tiers for _, tiers in answers] == ["encoder", "encoder"]
    assert all({"decode", "encode", "wait"} <= set(steps) for steps, _ in answers)
    assert len(predictor.embedded) == 1


def test_failed_click_says_how_long_it_took_to_fail(client, images):
    images["/a.png"] = ImageUnreachableError("no", remedy="do")
    response = click(client)
    assert response.status_code == 422
    assert timings(response) == (["fetch", "total"], None)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        pytest.param("GET", "/health", 200, id="health"),
        pytest.param("POST", "/predict", 400, id="refused"),
        pytest.param("GET", "/nothing", 404, id="unknown"),
        pytest.param("PUT", "/predict", 405, id="wrong-method"),
        pytest.param("GET", "/versions", 200, id="versions"),
    ],
)
def test_every_answer_has_the_request_id(client, method, path, status):
    response = client.open(path, method=method, headers={"X-Request-ID": "my-1"})
    assert response.status_code == status
    assert response.headers["X-Request-ID"] == "my-1"
    if status >= 400:
        assert response.json["error"]["request_id"] == "my-1"


def test_harmful_request_id_is_replaced(client):
    response = client.get("/health", headers={"X-Request-ID": "a b" * 100})
    assert re.fullmatch(r"[0-9a-f]{16}", response.headers["X-Request-ID"])


def test_refused_credentials_have_a_request_id_too(click_service):
    settings = Settings(basic_auth_user="anna", basic_auth_pass="pass")
    response = create_app(settings, click_service=click_service).test_client().get("/versions")
    assert response.status_code == 401
    assert response.json["error"]["request_id"] == response.headers["X-Request-ID"]


def test_project_that_is_not_a_projects_name_is_not_logged(client, caplog):
    caplog.set_level("DEBUG", logger="backend")
    body = {"tasks": [{"id": 4}], "project": "sesame", "label_config": LABELING_CONFIG}
    assert client.post("/predict", json=body).status_code == 200
    assert "outcome=prepared task=4 total_ms" in caplog.text
    assert "sesame" not in caplog.text


def test_record_ends_with_its_request(client):
    response = click(client)
    assert current_record().request_id != response.headers["X-Request-ID"]


def test_opened_task_is_logged_as_prepared(client, caplog):
    caplog.set_level("INFO", logger="backend")
    response = click(client, prompted=False)
    assert response.json == {"results": []}
    assert "status=200 outcome=prepared task=4 " in caplog.text
