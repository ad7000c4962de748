"""Fixtures of the tests of `docker/`."""

from fake_app import client, images, predictor, segmenter  # noqa: F401 - fixtures
