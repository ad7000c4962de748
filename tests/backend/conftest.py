"""Fixtures of the service's tests."""

import pytest
import redis_server
from fake_app import client, images, predictor, segmenter  # noqa: F401 - fixtures


@pytest.fixture
def redis_process():
    """A Redis that runs."""
    if redis_server.PROGRAM is None:
        pytest.fail("redis-server is not installed; `make test` installs it")
    server = redis_server.RedisServer()
    server.start()
    yield server
    server.kill()
