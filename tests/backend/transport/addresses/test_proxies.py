"""Proxies of the environment: they resolve names, and connect."""

import threading
import time

import pytest
from ending_connections import EndsKeptConnections
from fake_label_studio import Host
from image_sources import IMAGE
from reaching import fetch

from backend.core.errors import ImageUnreachableError


@pytest.fixture
def proxy(monkeypatch):
    with Host().running() as server:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
            monkeypatch.setenv(name, server.url)
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield server


def test_name_that_only_the_proxy_knows_is_left_to_it(names, proxy):
    names.answers["images.test"] = [[]]
    proxy.pages["http://images.test/a.jpg"] = IMAGE
    assert fetch("http://images.test/a.jpg") == IMAGE


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "127.0.0.1", "2852039166", "[::ffff:10.0.0.5]", "inside.test"]
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_proxy_is_not_asked_for_what_is_refused(names, proxy, host, scheme):
    names.answers["inside.test"] = [["10.0.0.5"]]
    with pytest.raises(ImageUnreachableError, match=r"is never asked|ALLOW_HOSTS"):
        fetch(f"{scheme}://{host}/a.jpg")
    assert proxy.requests == []


def test_proxy_is_asked_for_what_is_listed(names, proxy):
    names.answers["inside.test"] = [["10.0.0.5"]]
    proxy.pages["http://inside.test/a.jpg"] = IMAGE
    assert fetch("http://inside.test/a.jpg", allow="inside.test") == IMAGE


def test_host_without_a_proxy_is_judged_as_ever(names, proxy, connected, monkeypatch):
    monkeypatch.setenv("no_proxy", "inside.test")
    names.answers["inside.test"] = [["10.0.0.5"]]
    with pytest.raises(ImageUnreachableError, match="is not in MOBILESAM_ALLOW_HOSTS"):
        fetch("http://inside.test/a.jpg")
    assert connected == []
    assert proxy.requests == []


def test_image_comes_though_the_proxy_ends_the_kept_connection(names, proxy):
    names.answers["images.test"] = [[]]
    proxy.pages["http://images.test/a.jpg"] = page = EndsKeptConnections(IMAGE)
    for _ in range(2):
        assert fetch("http://images.test/a.jpg") == IMAGE
    assert page.left_unanswered == 1


def test_headers_through_a_proxy_end_at_the_deadline(names, proxy):
    cut = threading.Event()

    def drip(handler):
        try:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
            for _ in range(200):
                handler.wfile.write(b"a")
                time.sleep(0.05)
        except OSError:  # the other side has gone
            cut.set()

    names.answers["images.test"] = [[]]
    proxy.pages["http://images.test/a.jpg"] = drip
    with pytest.raises(ImageUnreachableError, match=r"did not answer within 0\.3 s"):
        fetch("http://images.test/a.jpg", fetch_timeout_s=0.3)
    assert cut.wait(10)
