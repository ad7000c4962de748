"""The download against a server that breaks in every way; all of it on 127.0.0.1."""

import hashlib
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mobilesam import download as module
from mobilesam.download import (
    OFFICIAL,
    WeightsFile,
    default_checkpoint_path,
    download,
    is_complete,
)
from mobilesam.errors import DownloadError, MobileSamError

PAYLOAD = hashlib.shake_256(b"weights").digest(300_000)
SHA256 = hashlib.sha256(PAYLOAD).hexdigest()
THIRD = 100_000
ONE_PROCESS = """
import sys
from pathlib import Path
from mobilesam.download import WeightsFile, download
url, size_bytes, sha256, to = sys.argv[1:]
download(WeightsFile("mobile_sam.pt", url, int(size_bytes), sha256), Path(to))
"""


@dataclass
class Answer:
    """How the server treats one request; the defaults are those of a good server."""

    status: int = 200
    body: bytes = PAYLOAD
    ranges: bool = True
    send_bytes: int | None = None  # then the connection is cut
    says_length: bool = True
    headers: dict[str, str] = field(default_factory=dict)
    content_range: str | None = None
    until: threading.Event | None = None  # stands still after `send_bytes` until this is set


class Server(ThreadingHTTPServer):
    """Serves `answers` in turn and the last one for ever, and keeps what it was asked and sent."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = [Answer()]
        self.asked: list[str] = []  # "GET <target> <Range header or ->"
        self.sent_bytes = 0
        self.standing_still = threading.Event()
        self.turn = threading.Lock()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that hang up are part of the tests."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server = self.server
        asked_range = self.headers.get("Range", "-")
        with server.turn:
            server.asked.append(f"{self.command} {self.path} {asked_range}")
            answer = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
        body, status, headers = answer.body, answer.status, dict(answer.headers)
        if asked_range != "-" and answer.ranges and status == 200:
            first = int(asked_range.removeprefix("bytes=").removesuffix("-"))
            status = 206 if first < len(body) else 416
            headers["Content-Range"] = (
                answer.content_range or f"bytes {first}-{len(body) - 1}/{len(body)}"
            )
            body = body[first:]
        if answer.says_length:
            headers["Content-Length"] = str(len(body))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        sent = body[: answer.send_bytes]
        with server.turn:
            server.sent_bytes += len(sent)
        self.wfile.write(sent)
        if answer.until is not None:
            server.standing_still.set()
            answer.until.wait(10)
            self.wfile.write(body[len(sent) :])

    def do_CONNECT(self) -> None:
        self.server.asked.append(f"CONNECT {self.path} -")
        self.send_error(403)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture(autouse=True)
def _no_waiting_and_no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACKOFF_S", 0)
    for scheme in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{scheme}_proxy", raising=False)
        monkeypatch.delenv(f"{scheme.upper()}_PROXY", raising=False)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def file(server: Server) -> WeightsFile:
    return weights_at(server.url)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "mobile_sam.pt"


@pytest.fixture
def part(target: Path) -> Path:
    target.parent.mkdir()
    return target.with_name("mobile_sam.pt.part")


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that stays taken and refuses every connection."""
    with socket.socket() as never_listening:
        never_listening.bind(("127.0.0.1", 0))
        yield never_listening.getsockname()[1]


def weights_at(address: str) -> WeightsFile:
    return WeightsFile("mobile_sam.pt", f"{address}/mobile_sam.pt", len(PAYLOAD), SHA256)


def redirect(address: str) -> Answer:
    return Answer(status=302, body=b"", headers={"Location": address})


def assert_fails(
    file: WeightsFile, target: Path, *expected: str, timeout_s: float = 5
) -> pytest.ExceptionInfo[DownloadError]:
    with pytest.raises(DownloadError) as caught:
        download(file, target, timeout_s=timeout_s)
    for text in (*expected, str(target)):
        assert text in str(caught.value)
    assert not target.is_file()
    return caught


# Where the file is, and whether it is the right one


def test_official_file_is_the_published_one():
    assert OFFICIAL.url.startswith("https://github.com/ChaoningZhang/MobileSAM/")
    assert OFFICIAL.url.endswith(OFFICIAL.name)
    assert OFFICIAL.size_bytes == 40_728_226
    assert len(bytes.fromhex(OFFICIAL.sha256)) == 32


@pytest.mark.parametrize(
    ("cache_home", "expected"),
    [
        pytest.param("/var/cache", "/var/cache/mobilesam/mobile_sam.pt", id="set"),
        pytest.param("", "/home/ann/.cache/mobilesam/mobile_sam.pt", id="empty"),
        pytest.param("cache", "/home/ann/.cache/mobilesam/mobile_sam.pt", id="relative"),
    ],
)
def test_default_checkpoint_path_follows_xdg(
    monkeypatch: pytest.MonkeyPatch, cache_home: str, expected: str
):
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.setenv("XDG_CACHE_HOME", cache_home)
    assert default_checkpoint_path() == Path(expected)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(PAYLOAD, True, id="right"),
        pytest.param(PAYLOAD[:-1], False, id="truncated"),
        pytest.param(PAYLOAD[:-1] + b"?", False, id="one byte changed"),
        pytest.param(None, False, id="missing"),
    ],
)
def test_is_complete_checks_size_and_sha256(
    tmp_path: Path, file: WeightsFile, content: bytes | None, expected: bool
):
    path = tmp_path / "mobile_sam.pt"
    if content is not None:
        path.write_bytes(content)
    assert is_complete(path, file) is expected


# The good server


def test_download_fetches_once(server: Server, file: WeightsFile, target: Path):
    assert download(file, target) == target
    assert target.read_bytes() == PAYLOAD
    assert not list(target.parent.glob("*.part"))
    download(file, target)
    assert server.asked == ["GET /mobile_sam.pt -"]


def test_download_goes_to_the_cache_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: WeightsFile
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert download(file) == tmp_path / "mobilesam" / "mobile_sam.pt"


def test_download_follows_redirects(server: Server, file: WeightsFile, target: Path):
    server.answers = [redirect(f"{server.url}/elsewhere"), Answer()]
    download(file, target)
    assert server.asked == ["GET /mobile_sam.pt -", "GET /elsewhere -"]


@pytest.mark.parametrize(
    ("progress", "is_drawn"),
    [
        pytest.param(True, True, id="asked for"),
        pytest.param(False, False, id="refused"),
        pytest.param(None, False, id="no terminal"),
    ],
)
def test_progress_bar_counts_bytes_on_stderr(
    capsys: pytest.CaptureFixture[str],
    file: WeightsFile,
    target: Path,
    progress: bool | None,
    is_drawn: bool,
):
    download(file, target, progress=progress)
    output = capsys.readouterr()
    assert output.out == ""
    assert ("300k/300k" in output.err and "mobile_sam.pt" in output.err) is is_drawn


# Another file is in the place


def test_wrong_file_is_described_and_replaced(
    caplog: pytest.LogCaptureFixture, file: WeightsFile, target: Path, part: Path
):
    target.write_bytes(b"my own weights, fine-tuned")
    download(file, target)
    assert target.read_bytes() == PAYLOAD
    sha256 = hashlib.sha256(b"my own weights, fine-tuned").hexdigest()
    assert "26 bytes beginning with b'my own weights, '" in caplog.text
    assert sha256 in caplog.text


def test_wrong_file_stays_until_the_right_one_came(
    server: Server, file: WeightsFile, target: Path, part: Path
):
    target.write_bytes(b"my own weights")
    server.answers = [Answer(status=404)]
    with pytest.raises(DownloadError):
        download(file, target)
    assert target.read_bytes() == b"my own weights"


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


# Proxies


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_download_goes_through_the_proxy(
    monkeypatch: pytest.MonkeyPatch, server: Server, target: Path, variable: str
):
    monkeypatch.setenv(variable, server.url)
    download(weights_at("http://weights.invalid"), target)
    assert server.asked == ["GET http://weights.invalid/mobile_sam.pt -"]


def test_https_goes_through_the_proxy_and_its_refusal_is_named(
    monkeypatch: pytest.MonkeyPatch, server: Server, target: Path
):
    monkeypatch.setenv("https_proxy", server.url)
    assert_fails(weights_at("https://weights.invalid"), target, "403 Forbidden")
    assert server.asked == ["CONNECT weights.invalid:443 -"]


def test_no_proxy_is_honoured(
    monkeypatch: pytest.MonkeyPatch, file: WeightsFile, target: Path, closed_port: int
):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed_port}")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    download(file, target)
    assert target.read_bytes() == PAYLOAD


# Several processes


@pytest.fixture
def start_process(file: WeightsFile, target: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts `download(file, target)` in a process of its own."""
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        arguments = [file.url, str(file.size_bytes), file.sha256, str(target)]
        process = subprocess.Popen(
            [sys.executable, "-c", ONE_PROCESS, *arguments],
            cwd=Path(module.__file__).parents[1],
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_processes_that_download_at_once_share_one_transfer(
    server: Server, target: Path, start_process: Callable[[], subprocess.Popen[str]]
):
    both_run = threading.Event()
    server.answers = [Answer(send_bytes=THIRD, until=both_run), Answer()]
    first = start_process()
    assert server.standing_still.wait(30)
    second = start_process()
    assert "waiting for it" in second.stderr.readline()
    both_run.set()
    assert first.communicate(timeout=30) == (None, "")
    assert second.communicate(timeout=30) == (None, "")
    assert (first.returncode, second.returncode) == (0, 0)
    assert target.read_bytes() == PAYLOAD
    assert len(server.asked) == 1


def test_download_continues_after_a_process_was_killed(
    server: Server,
    file: WeightsFile,
    target: Path,
    start_process: Callable[[], subprocess.Popen[str]],
):
    end = threading.Event()
    server.answers = [Answer(send_bytes=THIRD, until=end), Answer()]
    process = start_process()
    assert server.standing_still.wait(30)
    process.kill()
    process.wait()
    end.set()
    assert not target.exists()
    download(file, target)
    assert target.read_bytes() == PAYLOAD


# Disks


def test_full_disk_is_a_named_error(file: WeightsFile, target: Path, part: Path):
    part.symlink_to("/dev/full")
    assert_fails(file, target, "No space left on device", "300,000 bytes", "XDG_CACHE_HOME")


@pytest.mark.parametrize(
    "folder",
    [
        pytest.param("/sys/mobilesam", id="read-only"),
        pytest.param("/dev/null/mobilesam", id="not a folder"),
    ],
)
def test_folder_that_cannot_be_written_is_a_named_error(file: WeightsFile, folder: str):
    assert_fails(file, Path(folder) / "mobile_sam.pt", "cannot store", "writable")


def test_target_that_is_a_folder_is_a_named_error(server: Server, file: WeightsFile, target: Path):
    target.mkdir(parents=True)
    assert_fails(file, target, "is a folder", str(target / "mobile_sam.pt"))
    assert server.asked == []


def test_file_that_is_there_needs_no_lock(
    monkeypatch: pytest.MonkeyPatch, file: WeightsFile, target: Path
):
    """The weights may lie on a read-only volume."""
    download(file, target)
    monkeypatch.setattr(module, "FileLock", lambda _: pytest.fail("writes a lock"))
    assert download(file, target) == target
