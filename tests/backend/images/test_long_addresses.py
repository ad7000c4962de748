"""Addresses of any length cost nothing but their bytes."""

import pytest

from backend.core.errors import ImageUnreachableError
from backend.images import fetch
from backend.images.fetch import LONGEST_ADDRESS, ImageLoader
from backend.label_studio.connections import Connections
from backend.settings.settings import Settings

PARTS = ["é", "%", "/", "../", "a.", "é.", "@", "x/", "a&d=", "\\", "u:"]
STARTS = ["http://127.0.0.1:9/", "http://", "/", "/data/upload/", "s3://", ""]


@pytest.mark.parametrize("start", STARTS, ids=lambda start: start or "nothing")
@pytest.mark.parametrize("part", PARTS)
def test_address_that_no_server_would_take_is_refused_before_it_is_looked_through(
    start, part, monkeypatch
):
    monkeypatch.setattr(fetch, "exchange", lambda *_a, **_n: pytest.fail("asked somebody"))
    monkeypatch.setattr(ImageLoader, "_locate", lambda *_a: pytest.fail("looked through it"))
    settings = Settings(label_studio_url="http://127.0.0.1:8080")
    loader = ImageLoader(settings, Connections(settings))
    address = start + part * (LONGEST_ADDRESS // len(part) + 1)
    with pytest.raises(ImageUnreachableError, match="image of task 4: its address") as refused:
        loader.fetch(address, task_id=4, project="1.0")
    assert len(str(refused.value)) < 300
