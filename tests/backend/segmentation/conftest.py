"""Fixtures of the click service's tests."""

from segmenting import click_service, files  # noqa: F401 - fixtures
