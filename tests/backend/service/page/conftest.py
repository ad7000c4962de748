"""The whole app with a model of discs and boxes."""

import pytest
from flask.testing import FlaskClient

from backend.segmentation.click_service import ClickService
from backend.service.app import create_app
from backend.settings.settings import Settings


class BufferingClient(FlaskClient):
    """Reads answers to their end, so that the files they come from are closed."""

    def open(self, *args, **kwargs):
        return super().open(*args, buffered=True, **kwargs)


@pytest.fixture
def make_client(predictor):
    """Make a client of an app with these settings; all are ended after the test."""
    click_services = []

    def make(**settings):
        click_services.append(ClickService(predictor, Settings(**settings)))
        app = create_app(Settings(**settings), click_service=click_services[-1])
        app.test_client_class = BufferingClient
        return app.test_client()

    yield make
    for click_service in click_services:
        click_service.close()


@pytest.fixture
def client(make_client):
    return make_client()
