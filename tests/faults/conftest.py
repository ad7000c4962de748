"""Fixtures of the tests of failures."""

from image_sources import label_studio  # noqa: F401 - a fixture
