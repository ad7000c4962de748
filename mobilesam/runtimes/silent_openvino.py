"""OpenVINO without its telemetry.

Importing it would report that to Google Analytics: in a copy of this process that is forked for it,
with an id that it keeps in the user's home folder. Where `openvino_telemetry` is not installed,
OpenVINO takes a stub of its own instead, and so it does here.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def _seemingly_missing(package: str) -> Iterator[None]:
    if package in sys.modules:  # whoever imported it has decided
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment] # so Python takes it for missing
    try:
        yield
    finally:
        del sys.modules[package]


with _seemingly_missing("openvino_telemetry"):
    import openvino

__all__ = ["openvino"]
