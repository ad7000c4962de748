"""The service with a model that needs no weights, and the click that must be right after anything.

`FUZZ_EXAMPLES=2000 python -m pytest -s tests/fuzz` is a longer run, of other examples each time; it
prints how often each status came.
"""

import os
import time

import pytest
from clicks import click
from fake_model import FakePredictor, png

from backend.codecs.brush import decode_brush
from backend.images.fetch import ImageLoader
from backend.segmentation.click_service import ClickService
from backend.service.app import create_app
from backend.settings.settings import Settings

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
LONGEST_S = 20.0  # of one request; none takes a tenth of that on two busy cores
SIZE_HW = (100, 200)


def example_settings(count):
    """Hypothesis' settings: `count` examples, the same ones each time, but for a longer run."""
    return {
        "max_examples": EXAMPLES or count,
        "derandomize": not EXAMPLES,
        "database": None,
        "deadline": None,  # a request's own bound is LONGEST_S
    }


class Service:
    """Counts what it was sent, and fails on a 500 or a hang."""

    def __init__(self, settings):
        click_service = ClickService(FakePredictor(), settings)
        self.app = create_app(settings, click_service=click_service)
        self.client = self.app.test_client()
        self.statuses = {}

    def send(self, path, **request):
        started = time.perf_counter()
        response = self.client.post(path, **request)
        self.check(response.status_code, time.perf_counter() - started, response.text)
        if response.status_code >= 400:
            assert response.json["error"]["request_id"] == response.headers["X-Request-ID"]
        return response

    def check(self, status, seconds, text=""):
        self.statuses[status] = self.statuses.get(status, 0) + 1
        assert status < 500, text
        assert seconds < LONGEST_S

    def answers_a_good_click(self):
        """The mask of a click at 20 %, 20 %: a disc around it."""
        response = click(self.client)
        assert response.status_code == 200, response.text
        (region,) = response.json["results"][0]["result"]
        mask = decode_brush(region["value"]["rle"], *SIZE_HW)
        assert mask[20, 40]
        assert not mask[20, 65]
        assert 1200 < mask.sum() < 1300  # pi * 20 ** 2 pixels, one quarter-circle's tip cut off


@pytest.fixture
def service(request, monkeypatch):
    """Every image that is fetched is of SIZE_HW; the last request of each test is a good click."""
    monkeypatch.setattr(ImageLoader, "fetch", lambda *_, **__: png(*SIZE_HW))
    service = Service(Settings(prefetch_tasks=0))
    yield service
    service.answers_a_good_click()
    print(f"{request.node.name}: {dict(sorted(service.statuses.items()))}")
