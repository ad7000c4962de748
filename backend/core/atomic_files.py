"""Files that are there whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from backend.core.text import on_one_line


def stays_below(name: str) -> bool:
    """Whether a relative path, which came with somebody's data, leads nowhere but downwards."""
    parts = name.split("/")
    return "\0" not in name and not any(part in ("", ".", "..") for part in parts)


def file_below(root: Path, name: str | Path) -> Path | None:
    """Find a file below a folder, wherever the folder itself is linked to.

    Args:
        root: the folder.
        name: relative path, which came with somebody's data.

    Returns:
        Its path without links; None if there is no such file, or `..` or a link leads out.
    """
    try:
        path, root = (root / name).resolve(), root.resolve()
        return path if path.is_relative_to(root) and path.is_file() else None
    except (OSError, ValueError):  # too long a name, a NUL, links in a circle
        return None


def is_same_file(first: Path, second: Path) -> bool:
    """Whether two paths are one file: by whatever links, names or cases they lead there."""
    try:
        return first.samefile(second)
    except (OSError, ValueError):  # one of them is not there
        return first.absolute() == second.absolute()


def printable(path: Path) -> str:
    """A path as text that any terminal and any UTF-8 file takes."""
    return on_one_line(os.fsencode(path).decode(errors="replace"))


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
