import json
import time
from contextlib import closing

import pytest
from ending_connections import EndsKeptConnections
from fake_label_studio import Host

from backend.core.errors import LabelStudioError
from backend.label_studio import client, ml_backends, projects
from backend.label_studio.client import LabelStudio

RESERVED = "URL resolves to a reserved network address (block: 127.0.0.0/8)"
FILE = b'{"id": 3, "file": "upload/a.png"}'
IMPORT = "/api/projects/7/import"
NO_HEALTH = "Can't connect to ML backend http://127.0.0.1:9090, health check failed."


@pytest.fixture
def host():
    with Host().running() as host:
        yield host


@pytest.fixture
def server(host):
    server = LabelStudio(host.url, "0123456789abcdef")
    yield server
    server.close()


@pytest.mark.parametrize(
    ("status", "body", "detail", "remedy"),
    [
        pytest.param(
            403,
            {"detail": RESERVED},
            RESERVED,
            "LABEL_STUDIO_USE_DEFAULT_BANNED_SUBNETS=false",
            id="private-address",
        ),
        pytest.param(
            400,
            {"detail": "Validation error", "validation_errors": {"non_field_errors": [NO_HEALTH]}},
            NO_HEALTH,
            "python -m backend serve",
            id="not-listening",
        ),
    ],
)
def test_connect_backend_says_why_it_was_refused(host, server, status, body, detail, remedy):
    host.pages["/api/ml/?project=7"] = b"[]"
    host.pages["/api/ml/"] = status, {}, json.dumps(body).encode()
    with pytest.raises(LabelStudioError) as caught:
        projects.connect_backend(server, 7, "http://127.0.0.1:9090")
    assert detail.rstrip(".") in caught.value.message
    assert remedy in caught.value.remedy


def test_upload_brings_the_token_whatever_netrc_says(host, server, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("default login me password secret")
    monkeypatch.setenv("NETRC", str(netrc))
    task = b'{"id": 5, "data": {"image": "/data/upload/7/1a2b3c4d-a.png"}}'
    pages = [b"", task, b""]  # before the upload; after it, and one page more
    host.answer = lambda request: (
        (201, {}, b"{}") if request.path == IMPORT else b'{"tasks": [%b]}' % pages.pop(0)
    )
    assert projects.upload_pictures(server, 7, {"a.png": b"a picture"}) == {"a.png": 5}
    assert host.authorizations == ["Token 0123456789abcdef"] * 4
    [upload] = [request for request in host.requests if request.path == IMPORT]
    assert b"a picture" in upload.body
    assert b'filename="a.png"' in upload.body


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param(
            (400, {}, b'["Your file\nis empty"]'), r'400 .*: \["Your file\\nis', id="refused"
        ),
        pytest.param((302, {"Location": "/"}, b""), "redirects to", id="redirect"),
        pytest.param(b" " * 100_000, "take 1 pictures with other JSON", id="blank-page"),
    ],
)
def test_upload_says_why_it_failed(host, answer, words):
    host.answer = lambda request: answer if request.path == IMPORT else b'{"tasks": []}'
    server = LabelStudio(host.url.replace("//", "//me:hunter2@"), "0123456789abcdef")
    with closing(server), pytest.raises(LabelStudioError, match=words) as caught:
        projects.upload_pictures(server, 7, {"a.png": b"a picture"})
    assert "hunter2" not in str(caught.value)
    assert str(caught.value).isprintable()


def test_upload_over_a_slow_line_has_the_time_that_its_files_take(host, server, monkeypatch):
    """Twenty megabytes take minutes where a line sends one megabit in a second."""
    monkeypatch.setattr(client, "API_TIMEOUT_S", 0.0)
    monkeypatch.setattr(client, "SLOWEST_UPLOAD_BYTES_S", 1000)

    def take(request):
        time.sleep(0.1)
        return (201, {}, b'{"file_upload_ids": [3]}') if "import?" in request.path else FILE

    host.answer = take
    assert projects.upload_files(server, 7, [("a.png", b"a" * 20_000)]) == ["/data/upload/a.png"]
    with pytest.raises(LabelStudioError, match="did not answer within"):
        projects.upload_files(server, 7, [("a.png", b"a")])


def test_ask_backend_raises_what_label_studio_hides(host, server):
    """Label Studio answers 200 when the backend failed, and the page shows nothing."""
    failure = (
        "422 Label 'Cat' unknown to mask control 'mask' for url: http://127.0.0.1:9090/predict"
    )
    host.pages["/api/ml/3/interactive-annotating"] = json.dumps({"errors": [failure]}).encode()
    with pytest.raises(LabelStudioError, match="422 Label 'Cat' unknown"):
        ml_backends.ask_backend(server, 3, 5, [])


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(EndsKeptConnections(b"{}", answers=0), id="cut"),
        pytest.param((502, {}, b"Bad gateway"), id="gateway"),
    ],
)
def test_project_is_never_created_twice(host, server, answer):
    """It may have been made although no good answer came."""
    host.pages["/api/projects/"] = answer
    with pytest.raises(LabelStudioError, match="create the project"):
        projects.create_project(server, "Anything", "<View/>")
    assert host.paths == ["/api/projects/"]


def test_label_studio_that_is_gone_is_named(host, server):
    gone = LabelStudio("http://127.0.0.1:9", "0123456789abcdef")
    with pytest.raises(LabelStudioError, match=r"http://127\.0\.0\.1:9 did not open the project"):
        projects.open_project(gone, "Anything", instruction="")
    gone.close()
