"""Fixtures of the service's tests."""

from fake_app import click_service, client, images, predictor  # noqa: F401 - fixtures
from image_sources import image_host, label_studio  # noqa: F401 - fixtures
