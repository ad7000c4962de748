"""A server of weights on loopback that breaks in every way that a test asks for."""

import hashlib
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mobilesam.errors import DownloadError
from mobilesam.weights.download import WeightsFile, download

PAYLOAD = hashlib.shake_256(b"weights").digest(300_000)
SHA256 = hashlib.sha256(PAYLOAD).hexdigest()
THIRD = 100_000


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
