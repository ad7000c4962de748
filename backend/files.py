"""Files that are there whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO


def stays_below(name: str) -> bool:
    """Whether a relative path, which came with somebody's data, leads nowhere but downwards."""
    parts = name.split("/")
    return "\0" not in name and not any(part in ("", ".", "..") for part in parts)


@contextmanager
def replaced_when_done(path: Path) -> Iterator[TextIO]:
    """Write a text file beside its place, and move it there at the end of the `with` block.

    Whatever stops the block leaves the file that was there as it was.

    Args:
        path: of the file; its folder is made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
