"""What a service's answer to a click says besides the mask."""

import json

import pytest
from fake_label_studio import Host

from backend.commands.connect.running_service import RunningService
from backend.core.errors import BackendError


@pytest.fixture
def service():
    with Host().running() as host:
        yield host


def answer_of(service, **headers):
    body = json.dumps({"results": [{"result": [], "score": 0.0}]}).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    service.pages["/predict"] = 200, named, body
    return RunningService(service.url, None).click({"id": 1, "data": {}}, "1.1", "<View/>", [])


@pytest.mark.parametrize(
    ("header", "steps_ms"),
    [
        pytest.param("", {}, id="none"),
        pytest.param("fetch;dur=3.1, encode;dur=120", {"fetch": 3.1, "encode": 120.0}, id="two"),
        pytest.param('mask;desc="the mask";dur=9', {"mask": 9.0}, id="described"),
        pytest.param("cache;desc=hit, codec; dur=0.5", {"codec": 0.5}, id="without-a-duration"),
        pytest.param("fetch;dur=soon", {}, id="no number"),
    ],
)
def test_steps_of_a_click_are_read_from_server_timing(service, header, steps_ms):
    assert answer_of(service, Server_Timing=header).steps_ms == steps_ms


def test_request_id_is_kept_for_the_log(service):
    assert answer_of(service, X_Request_ID="c0ffee").request_id == "c0ffee"
    service.pages["/predict"] = 500, {"X-Request-ID": "c0ffee"}, b"<html>"
    with pytest.raises(BackendError, match="request c0ffee in its log"):
        RunningService(service.url, None).click({"id": 1, "data": {}}, "1.1", "<View/>", [])
