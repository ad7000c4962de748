"""Connections are kept for the next request; servers end them when they like."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from ending_connections import EndsKeptConnections
from image_sources import IMAGE, fetch, fetch_from

from backend.core.errors import ImageUnreachableError
from backend.transport import sessions
from backend.transport.addresses import NetworkPolicy
from backend.transport.sessions import KEPT_CONNECTIONS
from backend.transport.transport import Deadline, TransportError, exchange


@pytest.fixture
def page(image_host):
    image_host.pages["/a.jpg"] = page = EndsKeptConnections(IMAGE)
    return page


def ask(host, method="GET", **more):
    return exchange(
        method,
        f"{host.url}/a.jpg",
        deadline=Deadline(10),
        max_bytes=1000,
        reach=NetworkPolicy.to(host.url),
        **more,
    )


def test_connection_serves_the_next_request(image_host):
    image_host.pages["/a.jpg"] = IMAGE
    for _ in range(3):
        assert ask(image_host).body == IMAGE
    assert len(image_host.connections) == 1


def test_image_comes_though_its_host_ends_the_kept_connection(image_host, page):
    for _ in range(2):
        assert fetch(f"{image_host.url}/a.jpg") == IMAGE
    assert page.left_unanswered == 1
    assert len(image_host.connections) == 2


def test_image_of_label_studio_comes_though_it_ends_the_kept_connection(label_studio):
    label_studio.pages["/data/upload/1/a.jpg"] = page = EndsKeptConnections(IMAGE)
    for _ in range(2):
        assert fetch_from(label_studio, "/data/upload/1/a.jpg") == IMAGE
    assert page.left_unanswered == 1


def test_all_kept_connections_may_have_ended(image_host, page):
    page.together = threading.Barrier(KEPT_CONNECTIONS, timeout=10)
    with ThreadPoolExecutor(KEPT_CONNECTIONS) as threads:
        for _ in range(2):
            answers = threads.map(lambda _: ask(image_host), range(KEPT_CONNECTIONS))
            assert [answer.body for answer in answers] == [IMAGE] * KEPT_CONNECTIONS
    assert page.left_unanswered == KEPT_CONNECTIONS


def test_connection_that_was_idle_for_long_is_not_trusted(image_host, page, monkeypatch):
    """A firewall may have forgotten it, and nobody would say so."""
    monkeypatch.setattr("backend.transport.sessions.KEPT_FOR_S", 0.0)
    for _ in range(2):
        assert ask(image_host).body == IMAGE
    assert page.left_unanswered == 0
    assert len(image_host.connections) == 2


def test_what_must_not_come_twice_is_not_sent_again(image_host, page):
    ask(image_host)
    with pytest.raises(TransportError, match="cut the connection"):
        ask(image_host, "POST", body=b"{}")
    assert page.left_unanswered == 1


def test_post_that_may_come_twice_is_sent_again(image_host, page):
    ask(image_host)
    assert ask(image_host, "POST", body=b"{}", is_idempotent=True).body == IMAGE
    assert [request.method for request in image_host.requests] == ["GET", "POST", "POST"]


def test_new_connection_that_is_cut_is_not_tried_again(image_host):
    image_host.pages["/a.jpg"] = page = EndsKeptConnections(IMAGE, answers=0)
    with pytest.raises(ImageUnreachableError, match="cut the connection"):
        fetch(f"{image_host.url}/a.jpg")
    assert page.left_unanswered == 1


def test_idle_connection_is_given_up_before_a_firewall_drops_it():
    """The shortest of them wait four minutes."""
    assert 0 < sessions.KEPT_FOR_S <= 120
