"""Fixtures of the tests of addresses."""

import pytest
from image_sources import IMAGE
from reaching import Names

from backend.transport import sessions


@pytest.fixture
def label_studio(label_studio):
    label_studio.pages["/data/upload/1/a.jpg"] = IMAGE
    return label_studio


@pytest.fixture
def image_host(image_host):
    image_host.pages["/a.jpg"] = IMAGE
    return image_host


@pytest.fixture
def names(monkeypatch):
    return Names(monkeypatch)


@pytest.fixture
def connected(monkeypatch):
    """The addresses that were connected to, in place of connections."""
    addresses = []

    def connect(address, *_, **__):
        addresses.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(sessions, "create_connection", connect)
    return addresses
