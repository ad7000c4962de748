"""A Label Studio and an image host on loopback, and what a loader fetches from them."""

from contextlib import suppress

import pytest
from fake_label_studio import FakeLabelStudio, Host

from backend.images.fetch import ImageLoader
from backend.label_studio.connections import Connections
from backend.settings.settings import Settings
from backend.transport.addresses import parse_allowed_hosts

IMAGE = b"the bytes of a picture"
PROJECT = "1.1795350403"
LOOPBACK = "127.0.0.1,localhost"  # where the image host of these tests is


@pytest.fixture
def label_studio():
    with FakeLabelStudio().running() as server:
        yield server


@pytest.fixture
def image_host():
    with Host().running() as server:
        yield server


def fetch(uri, *, allow=LOOPBACK, setup=(None, None), sender=None, task_id=4, **settings):
    """Fetch with these settings, after a /setup with this hostname and access token."""
    settings = Settings(allow_hosts=parse_allowed_hosts(allow), **settings)
    connections = Connections(settings)
    connections.remember(PROJECT, *setup, sender=sender)
    return ImageLoader(settings, connections).fetch(uri, task_id=task_id, project=PROJECT)


def fetch_from(label_studio, uri, key=None, **settings):
    """Fetch with LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY set."""
    key = key or label_studio.tokens.legacy
    return fetch(uri, label_studio_url=label_studio.url, label_studio_api_key=key, **settings)


def send_endlessly(handler):
    """Send until the other side has had enough."""
    with suppress(OSError):
        while True:
            handler.wfile.write(b"a" * 65536)


def reason_of(caught):
    """The status line's words, which must fit there."""
    reason = caught.value.reason
    assert reason.isascii()
    assert reason.isprintable()
    assert len(reason) < 100
    return reason
