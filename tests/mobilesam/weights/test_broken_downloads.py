"""The download where connections break, and answers are not the file."""

import threading
from pathlib import Path

import pytest
from weights_server import (
    PAYLOAD,
    SHA256,
    THIRD,
    Answer,
    Server,
    assert_fails,
    weights_at,
)

from mobilesam.errors import MobileSamError
from mobilesam.weights import download as module
from mobilesam.weights.download import WeightsFile, download

# Connections that break


def test_interrupted_download_is_tried_again(server: Server, file: WeightsFile, target: Path):
    server.answers = [*[Answer(send_bytes=50_000)] * module.RETRIES, Answer()]
    download(file, target)
    assert target.read_bytes() == PAYLOAD
    assert len(server.asked) == module.RETRIES + 1


def test_interruption_for_good_is_named_and_leaves_nothing(
    server: Server, file: WeightsFile, target: Path
):
    server.answers = [Answer(send_bytes=THIRD)]
    assert_fails(file, target, file.url, "300,000 bytes", module.MIRROR, "=demo")
    assert len(server.asked) == 1 + module.RETRIES
    assert [path.name for path in target.parent.iterdir()] == ["mobile_sam.pt.lock"]


def test_stalled_server_is_a_named_error(server: Server, file: WeightsFile, target: Path):
    end = threading.Event()
    server.answers = [Answer(send_bytes=0, until=end)]
    assert_fails(file, target, "timed out", timeout_s=0.05)
    end.set()
    assert len(server.asked) == 1 + module.RETRIES


def test_server_error_is_tried_again(server: Server, file: WeightsFile, target: Path):
    server.answers = [Answer(status=503), Answer(status=429), Answer()]
    download(file, target)
    assert len(server.asked) == 3


def test_unreachable_host_fails_at_once(
    monkeypatch: pytest.MonkeyPatch, target: Path, closed_port: int
):
    monkeypatch.setattr("time.sleep", lambda _: pytest.fail("waits without a network"))
    assert_fails(
        weights_at(f"http://127.0.0.1:{closed_port}"),
        target,
        "Connection refused",
        "fetch it by hand",
        module.MIRROR,
    )


# Answers that are not the file


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(Answer(status=404), "404 Not Found", id="404"),
        pytest.param(Answer(status=403), "403 Forbidden", id="403"),
        pytest.param(
            Answer(body=b"<html>", headers={"Content-Type": "text/html; charset=utf-8"}),
            "web page",
            id="html",
        ),
        pytest.param(Answer(body=PAYLOAD + b"more"), "a file of 300004 bytes", id="longer"),
        pytest.param(Answer(body=PAYLOAD * 3, says_length=False), "unknown bytes", id="endless"),
    ],
)
def test_answer_that_cannot_get_better_is_not_asked_for_twice(
    server: Server, file: WeightsFile, target: Path, answer: Answer, expected: str
):
    server.answers = [answer]
    assert_fails(file, target, expected, file.url)
    assert len(server.asked) == 1


def test_server_error_for_good_is_a_named_error(server: Server, file: WeightsFile, target: Path):
    server.answers = [Answer(status=500)]
    caught = assert_fails(file, target, "500 Server Error: Internal Server Error")
    assert isinstance(caught.value, MobileSamError)
    assert len(server.asked) == 1 + module.RETRIES


def test_file_with_another_hash_is_deleted_and_the_next_try_starts_clean(
    server: Server, target: Path
):
    file = weights_at(server.url)
    server.answers = [Answer(body=PAYLOAD[:-1] + b"?")]
    assert_fails(file, target, SHA256, "Deleted download")
    assert [path.name for path in target.parent.iterdir()] == ["mobile_sam.pt.lock"]
    server.answers = [Answer()]
    download(file, target)
    assert target.read_bytes() == PAYLOAD
