"""Fixtures of the segmenter's tests."""

from segmenting import files, segmenter  # noqa: F401 - fixtures
