"""Fixtures: the app, with a model and images that are fakes; `clicks.click` clicks on it."""

import pytest
from fake_model import FakePredictor, png

from backend.images.fetch import ImageLoader
from backend.segmentation.segmenter import Segmenter
from backend.service.app import create_app
from backend.settings.settings import Settings


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
