"""Fixtures: the app, with a model and images that are fakes; `clicks.click` clicks on it."""

import pytest
from fake_model import FakePredictor, png

from backend.images.fetch import ImageLoader
from backend.segmentation.click_service import ClickService
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
def click_service(predictor, images):
    return ClickService(predictor, Settings(prefetch_tasks=0))


@pytest.fixture
def client(click_service):
    return create_app(Settings(), click_service=click_service).test_client()
