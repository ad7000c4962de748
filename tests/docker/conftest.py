"""Fixtures of the tests of `docker/`."""

from fake_app import click_service, client, images, predictor  # noqa: F401 - fixtures
