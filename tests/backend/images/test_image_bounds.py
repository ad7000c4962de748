"""How many bytes and seconds an image may take; connections that are cut."""

import threading
from contextlib import suppress
from urllib.parse import urlsplit

import pytest
from fake_label_studio import PERSONAL
from image_sources import fetch, fetch_from, reason_of, send_endlessly

from backend.core.errors import ImageTooLargeError, ImageUnreachableError
from backend.core.units import MEGABYTE


def test_image_of_the_largest_size_is_fetched(image_host):
    image_host.pages["/a"] = b"a" * MEGABYTE
    assert len(fetch(f"{image_host.url}/a", max_image_mb=1)) == MEGABYTE


def endless(handler):
    handler.send_response(200)
    handler.end_headers()
    send_endlessly(handler)


@pytest.mark.parametrize("place", ["length", "endless", "data-uri"])
def test_image_of_too_many_bytes_is_refused(image_host, place):
    image_host.pages = {"/length": b"a" * (MEGABYTE + 1), "/endless": endless}
    uri = f"{image_host.url}/{place}"
    if place == "data-uri":
        uri = "data:," + "a" * (MEGABYTE + 1)
    with pytest.raises(ImageTooLargeError, match=r"task 4: .* has more than 1 MB") as caught:
        fetch(uri, max_image_mb=1)
    assert reason_of(caught) == "Image too large: more than 1 MB"
    assert len(str(caught.value)) < 300


def slowly(*pieces, forever):
    """Send the pieces, then a byte of the last one now and then."""

    def answer(handler):
        with suppress(OSError):
            for piece in pieces:
                handler.wfile.write(piece)
            while not forever.wait(0.02):
                handler.wfile.write(pieces[-1][-1:])

    return answer


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize("way", ["upload", "external", "cloud"])
@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([HEAD, b"X-Slow: a"], id="headers"),
        pytest.param([HEAD, b"Content-Length: 100000\r\n\r\n", b"a"], id="body"),
        pytest.param([HEAD, b"\r\n", b"a"], id="body-without-length"),
        pytest.param([HEAD, b"Transfer-Encoding: chunked\r\n\r\n", b"0"], id="chunk-size"),
    ],
)
def test_slow_answer_ends_at_the_deadline(label_studio, image_host, pieces, way):
    over = threading.Event()
    page = slowly(*pieces, forever=over)
    signed = {"Location": f"{image_host.url}/a.jpg"}
    label_studio.bucket["s3://photos/a.jpg"] = (303, signed, b"")
    label_studio.pages["/data/upload/1/a.jpg"] = image_host.pages["/a.jpg"] = page
    uris = {"upload": "/data/upload/1/a.jpg", "cloud": "s3://photos/a.jpg"}
    try:
        with pytest.raises(ImageUnreachableError, match=r"did not answer within 0\.3 s") as caught:
            fetch_from(label_studio, uris.get(way, signed["Location"]), fetch_timeout_s=0.3)
        assert "did not answer within 0.3 s" in reason_of(caught)
    finally:
        over.set()


def test_deadline_covers_redirects_together(image_host, monkeypatch):
    """Each hop is quick enough by itself."""
    now = 1000.0
    monkeypatch.setattr("backend.transport.transport.time.monotonic", lambda: now)

    def answer(handler):
        nonlocal now
        now += 15.0
        handler.send_response(302)
        handler.send_header("Location", "/a")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    image_host.pages["/a"] = answer
    with pytest.raises(ImageUnreachableError, match="did not answer within 20 s"):
        fetch(f"{image_host.url}/a", fetch_timeout_s=20.0)
    assert len(image_host.requests) == 2


def test_deadline_covers_the_exchange_of_the_token(label_studio):
    over = threading.Event()
    label_studio.answer = lambda _: lambda _: over.wait(20)
    try:
        with pytest.raises(ImageUnreachableError, match=r"did not answer within 0\.3 s"):
            fetch_from(label_studio, "/data/upload/1/a.jpg", key=PERSONAL, fetch_timeout_s=0.3)
    finally:
        over.set()


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([], id="before-the-status"),
        pytest.param([HEAD, b"Content-Length: 10\r\n\r\nabc"], id="in-the-body"),
        pytest.param([HEAD, b"Transfer-Encoding: chunked\r\n\r\n5\r\nab"], id="in-a-chunk"),
        pytest.param([b"SSH-2.0-OpenSSH_9.2\r\n"], id="not-http"),
    ],
)
def test_connection_that_is_cut_is_named(image_host, pieces):
    image_host.pages["/a"] = lambda handler: handler.wfile.write(b"".join(pieces))
    with pytest.raises(ImageUnreachableError, match="cut the connection") as caught:
        fetch(f"{image_host.url}/a")
    assert reason_of(caught).endswith(f"{urlsplit(image_host.url).netloc} cut the connection")
