"""Bytes that are hardly HTTP, sent to a real server: an answer or a closed connection, never a 500.

After each, an annotator clicks on the same server and gets the mask that the model gives.
"""

import socket
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest

from benchmarks import service_load
from benchmarks.service_load import START_TIMEOUT_S

TIMEOUT_S = 20
THREADS = 8
BODY = b'{"action": "TASKS_CREATED"}'
HEAD = b"POST /webhook HTTP/1.1\r\nHost: a\r\n"


@pytest.fixture(scope="module")
def annotator(demo_predictor, tmp_path_factory):
    """The server's address, and a function that clicks and says what was wrong with the answer."""
    folder = tmp_path_factory.mktemp("raw")
    (task,) = service_load.make_tasks(demo_predictor, 1, (90, 120))
    backend, url = service_load.service(
        "demo",
        folder / "log",
        environment={"THREADS": str(THREADS)},
    )
    with backend, service_load.image_host([task]) as images:
        backend.wait_until_healthy(f"{url}/health", timeout_s=START_TIMEOUT_S)
        yield url, lambda: service_load.click(url, images, task, 0).fault()
    assert "Traceback" not in (folder / "log").read_text()


def connect(url):
    address = urlsplit(url)
    connection = socket.create_connection((address.hostname, address.port), TIMEOUT_S)
    connection.settimeout(TIMEOUT_S)
    return connection


def statuses_of(url, data):
    """Send bytes, end, and return the status of each answer until the server ends too."""
    received = b""
    with connect(url) as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65536):
                received += piece
        except OSError:  # it need not read what it refuses
            pass
    lines = [line for line in received.split(b"\r\n") if line.startswith(b"HTTP/1.")]
    return [int(line.split()[1]) for line in lines]


def with_length(length, body=BODY):
    return HEAD + b"Content-Length: " + length + b"\r\n\r\n" + body


def chunked(chunks, headers=b""):
    return HEAD + headers + b"Transfer-Encoding: chunked\r\n\r\n" + chunks


GOOD = with_length(b"%d" % len(BODY))
CASES = {
    "nothing": b"",
    "a-line-end": b"\r\n\r\n",
    "garbage": bytes(range(256)) * 40,
    "zeros": b"\0" * 100_000,
    "tls": bytes.fromhex("16030100c2010000be0303") + bytes(200),
    "http-2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "http-0.9": b"GET /health\r\n",
    "http-9": b"GET /health HTTP/9.9\r\n\r\n",
    "no-host": b"GET /health HTTP/1.1\r\n\r\n",
    "another-host": b"GET /health HTTP/1.1\r\nHost: [::1\r\n\r\n",
    "absolute-url": b"GET http://[::1/health HTTP/1.1\r\nHost: a\r\n\r\n",
    "authority": b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: a\r\n\r\n",
    "odd-method": b"\xffGET /health HTTP/1.1\r\nHost: a\r\n\r\n",
    "long-method": b"A" * 5000 + b" /health HTTP/1.1\r\nHost: a\r\n\r\n",
    "long-path": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "path-of-no-utf-8": b"GET /%ff%fe%00 HTTP/1.1\r\nHost: a\r\n\r\n",
    "path-of-raw-bytes": b"GET /\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n",
    "path-upwards": b"GET /page/../../settings.py HTTP/1.1\r\nHost: a\r\n\r\n",
    "long-header": HEAD + b"A: " + b"a" * 1_000_000 + b"\r\n\r\n",
    "many-headers": HEAD + b"".join(b"A%d: b\r\n" % n for n in range(5000)) + b"\r\n",
    "header-without-a-colon": HEAD + b"A\r\n\r\n",
    "header-folded": HEAD + b"A: b\r\n c\r\n\r\n",
    "header-with-nul": HEAD + b"A: \0\r\n\r\n",
    "header-of-raw-bytes": HEAD + b"X-Request-ID: \xff\xfe\r\nContent-Length: 0\r\n\r\n",
    "line-feeds-alone": GOOD.replace(b"\r\n", b"\n"),
    "head-cut": HEAD[:20],
    "headers-cut": HEAD,
    "length-beyond-the-body": with_length(b"1000"),
    "length-below-the-body": with_length(b"5"),
    "length-negative": with_length(b"-1"),
    "length-signed": with_length(b"+27"),
    "length-hexadecimal": with_length(b"0x1b"),
    "length-of-letters": with_length(b"lots"),
    "length-empty": with_length(b""),
    "length-huge": with_length(b"9" * 30),
    "length-beyond-the-bound": with_length(b"99999999999"),
    "lengths-that-differ": with_length(b"5\r\nContent-Length: 27"),
    "length-and-chunks": chunked(b"1b\r\n" + BODY + b"\r\n0\r\n\r\n", b"Content-Length: 5\r\n"),
    "chunks-cut": chunked(b"1b\r\n" + BODY[:5]),
    "chunks-never-end": chunked(b"1b\r\n" + BODY + b"\r\n"),
    "chunk-size-negative": chunked(b"-1\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "chunk-size-of-letters": chunked(b"xyz\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "chunk-size-huge": chunked(b"f" * 30 + b"\r\n" + BODY),
    "chunk-too-long": chunked(b"5\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "chunk-extension-long": chunked(b"1b;" + b"a" * 100_000 + b"\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "encoding-unknown": HEAD + b"Transfer-Encoding: cow\r\n\r\n" + BODY,
    "encoding-twice": chunked(b"0\r\n\r\n", b"Transfer-Encoding: chunked\r\n"),
    "expect-unknown": HEAD + b"Expect: cow\r\nContent-Length: 27\r\n\r\n" + BODY,
}
NOT_IMPLEMENTED = 501  # a transfer coding that the server does not know


@pytest.mark.parametrize("name", CASES)
def test_bytes_that_are_hardly_http_are_refused_or_answered(annotator, name):
    url, click = annotator
    statuses = statuses_of(url, CASES[name])
    assert all(status < 500 or status == NOT_IMPLEMENTED for status in statuses), statuses
    assert click() == ""


def test_clicks_are_answered_beside_requests_that_never_end(annotator):
    url, click = annotator
    with ExitStack() as connections:
        for number in range(THREADS // 2):
            connection = connections.enter_context(connect(url))
            connection.sendall((HEAD[:30], HEAD, with_length(b"1000"), chunked(b"f"))[number % 4])
        assert [click() for _ in range(4)] == [""] * 4


def test_clicks_go_on_when_more_requests_than_threads_end_that_never_would(annotator):
    url, click = annotator
    with ExitStack() as connections:
        for _ in range(3 * THREADS):
            connections.enter_context(connect(url)).sendall(with_length(b"1000"))
    assert [click() for _ in range(4)] == [""] * 4


def test_health_and_clicks_are_answered_beside_connections_that_say_nothing(annotator):
    """Gunicorn alone gives each of them a thread for 5 s: minutes, here."""
    url, click = annotator
    health = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
    with ExitStack() as stack:
        silent = [stack.enter_context(connect(url)) for _ in range(300)]
        assert statuses_of(url, health) == [200]
        assert click() == ""
        silent[0].sendall(health)  # it is heard when it speaks
        assert silent[0].recv(15).startswith(b"HTTP/1.1 200")
        more = [stack.enter_context(connect(url)) for _ in range(300)]
        assert statuses_of(url, health) == [200]
        assert click() == ""
        assert silent[1].recv(1) == b""  # the oldest made way
        more[-1].sendall(health)
        assert more[-1].recv(15).startswith(b"HTTP/1.1 200")


def test_clients_that_leave_before_the_answer_harm_nobody(annotator):
    url, click = annotator
    for _ in range(3 * THREADS):
        with connect(url) as connection:
            connection.sendall(GOOD)
    assert click() == ""
