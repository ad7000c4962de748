"""Notes that several services leave each other, such as in a Redis; each sealed with its name.

So a note that was damaged, or that lies in another one's place, is not believed.
"""

import zlib
from typing import Protocol

SEAL_BYTES = 4


class SharedNotes(Protocol):
    """Where several services leave each other notes. It may lose them, and be gone for a while."""

    @property
    def is_up(self) -> bool:
        """Whether it answered last."""

    def get(self, name: str, *, expire_s: int) -> bytes | None:
        """Return a note and keep it for some seconds more, or None."""

    def put(self, name: str, value: bytes, *, expire_s: int) -> bool:
        """Leave a note for some seconds, and say whether that worked."""

    def remove(self, name: str) -> None:
        """Take a note away."""


def sealed(name: str, note: bytes) -> bytes:
    """Return a note with the seal in front that `opened` looks for."""
    return _seal(name, note) + note


def opened(name: str, value: bytes) -> bytes | None:
    """Return the note that was sealed under this name, or None if this is none."""
    note = value[SEAL_BYTES:]
    return note if value[:SEAL_BYTES] == _seal(name, note) else None


def _seal(name: str, note: bytes) -> bytes:
    return zlib.crc32(note, zlib.crc32(name.encode())).to_bytes(SEAL_BYTES, "little")
