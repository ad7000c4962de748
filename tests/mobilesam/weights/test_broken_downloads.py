"""The download where connections break, ranges are odd, and answers are not the file."""

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
    redirect,
    weights_at,
)

from mobilesam.errors import MobileSamError
from mobilesam.weights import download as module
from mobilesam.weights.download import WeightsFile, download

# Connections that break


@pytest.mark.parametrize("says_length", [True, False], ids=["with length", "without length"])
def test_interrupted_download_continues_where_it_stopped(
    server: Server, file: WeightsFile, target: Path, says_length: bool
):
    cut = Answer(send_bytes=50_000, says_length=says_length)
    server.answers = [*[cut] * (module.ATTEMPTS + 1), Answer()]
    download(file, target)
    assert target.read_bytes() == PAYLOAD
    assert len(server.asked) == module.ATTEMPTS + 2
    assert server.sent_bytes <= len(PAYLOAD) + (module.ATTEMPTS + 1) * module.CHUNK_BYTES


def test_next_download_asks_only_for_the_missing_bytes(
    server: Server, file: WeightsFile, target: Path, part: Path
):
    part.write_bytes(PAYLOAD[:THIRD])
    download(file, target)
    assert target.read_bytes() == PAYLOAD
    assert server.asked == [f"GET /mobile_sam.pt bytes={THIRD}-"]
    assert server.sent_bytes == len(PAYLOAD) - THIRD


def test_interruption_for_good_keeps_what_came(
    server: Server, file: WeightsFile, target: Path, part: Path
):
    server.answers = [Answer(send_bytes=THIRD), Answer(send_bytes=0)]
    assert_fails(file, target, file.url, "300,000 bytes", "bytes came so far", "=demo")
    assert len(server.asked) == 1 + module.ATTEMPTS
    kept = part.read_bytes()
    assert THIRD - module.CHUNK_BYTES < len(kept) <= THIRD
    server.answers = [Answer()]
    download(file, target)
    assert server.asked[-1] == f"GET /mobile_sam.pt bytes={len(kept)}-"


def test_stalled_download_continues_after_the_timeout(
    server: Server, file: WeightsFile, target: Path
):
    end = threading.Event()
    server.answers = [Answer(send_bytes=THIRD, until=end), Answer()]
    download(file, target, timeout_s=0.1)
    end.set()
    assert target.read_bytes() == PAYLOAD
    assert len(server.asked) == 2
    assert server.asked[1] != "GET /mobile_sam.pt -"


def test_stalled_server_is_a_named_error(
    monkeypatch: pytest.MonkeyPatch, server: Server, file: WeightsFile, target: Path
):
    monkeypatch.setattr(module, "ATTEMPTS", 2)
    end = threading.Event()
    server.answers = [Answer(send_bytes=0, until=end)]
    assert_fails(file, target, "timed out", timeout_s=0.05)
    end.set()
    assert len(server.asked) == 2


def test_server_error_is_tried_again(server: Server, file: WeightsFile, target: Path):
    server.answers = [Answer(status=503), Answer(status=429), Answer()]
    download(file, target)
    assert len(server.asked) == 3


def test_unreachable_host_fails_at_once(
    monkeypatch: pytest.MonkeyPatch, target: Path, closed_port: int
):
    monkeypatch.setattr(module.time, "sleep", lambda _: pytest.fail("waits without a network"))
    assert_fails(weights_at(f"http://127.0.0.1:{closed_port}"), target, "Connection refused")


def test_host_that_goes_away_is_tried_again(
    server: Server, file: WeightsFile, target: Path, closed_port: int
):
    gone = redirect(f"http://127.0.0.1:{closed_port}/")
    server.answers = [Answer(send_bytes=THIRD), gone, Answer()]
    download(file, target)
    assert target.read_bytes() == PAYLOAD


# Servers with ranges of their own


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param([Answer(ranges=False)], id="range ignored"),
        pytest.param([Answer(status=416, body=b""), Answer()], id="416"),
        pytest.param([Answer(content_range="bytes 0-9/10"), Answer()], id="another range"),
        pytest.param([Answer(content_range="nonsense"), Answer()], id="no range"),
    ],
)
def test_resumed_download_starts_again_where_the_server_makes_it(
    server: Server, file: WeightsFile, target: Path, part: Path, answers: list[Answer]
):
    part.write_bytes(PAYLOAD[:THIRD])
    server.answers = answers.copy()
    download(file, target)
    assert target.read_bytes() == PAYLOAD
    assert len(server.asked) == len(answers)


def test_download_ends_although_no_range_works(server: Server, file: WeightsFile, target: Path):
    """Each start brings bytes, but none that were not there before."""
    cut, refused = Answer(send_bytes=THIRD), Answer(status=416, body=b"")
    server.answers = [cut, refused, cut, refused, cut, refused, Answer()]
    assert_fails(file, target, "Connection broken")


@pytest.mark.parametrize("kept_bytes", [0, THIRD], ids=["200", "206"])
def test_file_of_another_size_is_refused_before_it_is_fetched(
    server: Server, file: WeightsFile, target: Path, part: Path, kept_bytes: int
):
    part.write_bytes(PAYLOAD[:kept_bytes])
    server.answers = [Answer(body=PAYLOAD + b"more")]
    assert_fails(file, target, "a file of 300004 bytes", "300,000 bytes")
    assert part.read_bytes() == PAYLOAD[:kept_bytes]


def test_full_part_is_moved_without_a_request(
    server: Server, file: WeightsFile, target: Path, part: Path
):
    part.write_bytes(PAYLOAD)
    download(file, target)
    assert target.read_bytes() == PAYLOAD
    assert server.asked == []


def test_part_of_a_larger_file_is_dropped(
    server: Server, file: WeightsFile, target: Path, part: Path
):
    part.write_bytes(PAYLOAD + b"more")
    download(file, target)
    assert target.read_bytes() == PAYLOAD


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
    caught = assert_fails(file, target, "500 Internal Server Error")
    assert isinstance(caught.value, MobileSamError)
    assert len(server.asked) == module.ATTEMPTS


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        pytest.param(Answer(body=PAYLOAD[:-1] + b"?"), b"", id="one byte changed"),
        pytest.param(Answer(body=PAYLOAD * 3, says_length=False), b"", id="endless"),
        pytest.param(Answer(), b"?" * THIRD, id="damaged part"),
    ],
)
def test_corrupt_result_is_deleted_and_the_next_try_starts_clean(
    server: Server, target: Path, part: Path, answer: Answer, kept: bytes
):
    file = weights_at(server.url)
    part.write_bytes(kept)
    server.answers = [answer]
    assert_fails(file, target, SHA256, "deleted")
    assert not part.exists()
    server.answers = [Answer()]
    download(file, target)
    assert target.read_bytes() == PAYLOAD
    assert server.asked[-1] == "GET /mobile_sam.pt -"


def test_endless_answer_does_not_fill_the_disk(
    monkeypatch: pytest.MonkeyPatch, server: Server, file: WeightsFile, target: Path
):
    sizes_bytes: list[int] = []
    monkeypatch.setattr(module, "_describe", lambda path: sizes_bytes.append(path.stat().st_size))
    server.answers = [Answer(body=PAYLOAD * 3, says_length=False)]
    assert_fails(file, target)
    assert sizes_bytes[0] <= len(PAYLOAD) + module.CHUNK_BYTES
