"""Fixtures of the service's tests."""

import pytest
import redis_server
from fake_model import FakePredictor, png

from backend.app import create_app
from backend.images import ImageLoader
from backend.segmenter import Segmenter
from backend.settings import Settings


@pytest.fixture
def redis_process():
    """A Redis that runs."""
    if redis_server.PROGRAM is None:
        pytest.fail("redis-server is not installed; `make test` installs it")
    server = redis_server.RedisServer()
    server.start()
    yield server
    server.kill()


# The app, with a segmenter whose model and images are fakes; `clicks.click` clicks.


@pytest.fixture
def images(monkeypatch):
    """Address -> bytes, or the error of fetching them."""
    images = {"/a.png": png(100, 200), "/b.png": png(100, 200, color=(1, 2, 3))}

    def fetch(_loader, uri, **_named):
        if isinstance(images[uri], Exception):
            raise images[uri]
        return images[uri]

    monkeypatch.setattr(ImageLoader, "fetch", fetch)
    return images


@pytest.fixture
def predictor():
    return FakePredictor()


@pytest.fixture
def segmenter(predictor, images):
    return Segmenter(predictor, Settings(prefetch_tasks=0))


@pytest.fixture
def client(segmenter):
    return create_app(Settings(), segmenter=segmenter).test_client()
