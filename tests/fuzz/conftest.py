"""Fixtures of the fuzz."""

from fuzzed_service import service  # noqa: F401 - a fixture
