"""The disk tier: one file an entry, in a folder that outlives the service and may be shared.

Plain files and not a database: an entry is read and written as a whole, its modification time is
the time of its last use, and the file system does what is left. See
docs/decisions/0002-plain-file-disk-tier.md.
"""

import errno
import fcntl
import logging
import os
import re
import secrets
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from backend.core.units import MEGABYTE
from backend.embeddings.tiers.base import CacheState, Outage

SUFFIX = ".embedding"
PART_SUFFIX = ".part"  # of a file that is being written, and locked meanwhile
HEADER = b"MSAM\x00\x01\r\n"  # of each file; what lacks it was not written here
LARGEST_ENTRY = 256 * MEGABYTE  # no embedding is that large; a sparse file may say so
_ENTRY_NAME = re.compile(rf"[0-9a-f]{{64}}{re.escape(SUFFIX)}")
_PART_NAME = re.compile(rf"[0-9a-f]{{64}}{re.escape(SUFFIX)}\.[0-9a-f]+{re.escape(PART_SUFFIX)}")
# Tells people and backup programs what the folder is: https://bford.info/cachedir/
MARKER = "CACHEDIR.TAG"
MARKER_TEXT = """Signature: 8a477f597d28d172789f06886806bc55
# Embeddings of images, kept by the MobileSAM backend (MOBILESAM_CACHE_DIR); may be deleted.
"""
# Where the file system has no locks, the writer of a part that is older than that has died.
FORGOTTEN_PART_S = 3600
FREED_SHARE = 0.1  # of the room that is freed at once, so that not every write has to look for some
# Of the room; after so many bytes written the folder is read again, for what other services wrote.
COUNTED_AGAIN_SHARE = 0.05

log = logging.getLogger(__name__)


@dataclass(frozen=True, order=True)
class _Entry:
    used_ns: int
    path: Path
    size: int


class DiskCache:
    """Bytes under names, in files, bounded; what was not used for longest goes first.

    A file is written beside its place and moved there, so that no half of one is ever read; whether
    a whole one is sound is for the reader to see. A folder that is full, gone or read-only makes
    the service slower, not wrong.

    Args:
        folder: made where it is missing, and marked. What this class did not write there is left
            alone: it is known by its name and its header. What is no regular file is never opened.
        max_bytes: sum of the entries' sizes. Several services on one folder may exceed it by a
            twentieth each, until each has counted again.
    """

    name = "disk"

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self._lock = threading.Lock()  # of the numbers
        self._write_lock = threading.Lock()
        self._unreadable = Outage(log, f"the cache folder {folder}")
        self._unwritable = Outage(log, f"writing to the cache folder {folder}")
        self._written_since_count = 0
        self._entries = self._bytes = self._hits = self._misses = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not os.path.lexists(folder / MARKER):
                (folder / MARKER).write_text(MARKER_TEXT)
            self._count()
        except OSError as error:
            self._unwritable.began(_failed(error))

    def get(self, name: str) -> bytes | None:
        """Return what was put last and count it as used now, or None."""
        path = self._path(name)
        value = None
        try:
            value = _read(path)
        except FileNotFoundError:
            pass
        except OSError as error:
            self._unreadable.began(f"cannot be read ({error.strerror}); images are encoded anew")
        else:
            self._unreadable.ended()
            with suppress(OSError):  # read-only, or another service has just removed it
                os.utime(path)
        with self._lock:
            if value is None:
                self._misses += 1
            else:
                self._hits += 1
        return value

    def put(self, name: str, value: bytes) -> bool:
        """Keep a value, and drop others where it needs their room; say whether that worked."""
        size = len(HEADER) + len(value)
        if size > min(self.max_bytes, LARGEST_ENTRY):
            return False
        path = self._path(name)
        with self._write_lock:
            try:
                earlier = _size(path)
                if earlier is None and os.path.lexists(path):
                    return False  # somebody else's, and no file
                self._make_room(size - (earlier or 0))
                _write(path, value)
            except OSError as error:
                self._unwritable.began(_failed(error))
                return False
            self._written_since_count += size
            with self._lock:
                self._entries += earlier is None
                self._bytes += size - (earlier or 0)
        self._unwritable.ended()
        return True

    def remove(self, name: str) -> None:
        """Forget a value."""
        with self._write_lock:
            self._drop(self._path(name))

    def has(self, name: str) -> bool:
        """Say whether a value is kept, without counting it as used."""
        with suppress(OSError):
            return _size(self._path(name)) is not None
        return False

    def state(self) -> CacheState:
        """Return the numbers of this moment; other services' files as of the last count."""
        with self._lock:
            return CacheState(self._entries, self._bytes, self.max_bytes, self._hits, self._misses)

    def close(self) -> None:
        """Nothing runs for it."""

    def _path(self, name: str) -> Path:
        return self.folder / name[:2] / f"{name}{SUFFIX}"  # 256 folders of a moderate size each

    def _make_room(self, needed: int) -> None:
        is_full = self._bytes + needed > self.max_bytes
        if not is_full and self._written_since_count < COUNTED_AGAIN_SHARE * self.max_bytes:
            return
        entries = sorted(self._count(), reverse=True)  # the least recently used last
        if self._bytes + needed <= self.max_bytes:
            return
        while entries and self._bytes + needed > (1 - FREED_SHARE) * self.max_bytes:
            self._drop(entries.pop().path)

    def _count(self) -> list[_Entry]:
        """Read the folder: what is there, whoever wrote it."""
        entries = []
        for path in self.folder.glob(f"??/*{SUFFIX}*"):
            with suppress(OSError):  # another service has just removed it
                status = path.lstat()
                if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST_ENTRY:
                    continue
                if _ENTRY_NAME.fullmatch(path.name):
                    entries.append(_Entry(status.st_mtime_ns, path, status.st_size))
                elif _PART_NAME.fullmatch(path.name):
                    _sweep(path)
        with self._lock:
            self._entries, self._bytes = len(entries), sum(entry.size for entry in entries)
        self._written_since_count = 0
        return entries

    def _drop(self, path: Path) -> None:
        with suppress(OSError):
            with _opened(path) as file:
                size = os.fstat(file.fileno()).st_size
                head = file.read(32)
            # A file of 0.1.0 starts with the hash that it is named by.
            if not head.startswith(HEADER) and head != bytes.fromhex(path.stem):
                return
            path.unlink()
            with self._lock:
                self._entries -= 1
                self._bytes -= size


def _size(path: Path) -> int | None:
    """Return the size of an entry, or None: there is none, or what is there is none."""
    with suppress(FileNotFoundError):
        status = path.lstat()
        if stat.S_ISREG(status.st_mode) and status.st_size <= LARGEST_ENTRY:
            return status.st_size
    return None


def _opened(path: Path) -> BinaryIO:
    """Open a regular file; a FIFO would wait for a writer, a link may lead anywhere.

    Raises:
        OSError: it is none, or has more bytes than any entry.
    """
    not_an_entry = FileNotFoundError(errno.ENOENT, "not an entry", str(path))
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link, a socket
            raise not_an_entry from error
        raise
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST_ENTRY:
        os.close(descriptor)
        raise not_an_entry
    return os.fdopen(descriptor, "rb")


def _read(path: Path) -> bytes | None:
    with _opened(path) as file:
        content = file.read()
    return content.removeprefix(HEADER) if content.startswith(HEADER) else None


def _write(path: Path, value: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with _part_beside(path) as (part, file):
        file.write(HEADER)
        file.write(value)
        file.flush()
        part.replace(path)


@contextmanager
def _part_beside(path: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Make a file to write to, locked while it is open, and remove it if it was not moved away."""
    while True:
        # Not `tempfile`: its files are for their owner only, and services that share may differ.
        part = path.with_name(f"{path.name}.{secrets.token_hex(8)}{PART_SUFFIX}")
        try:
            with part.open("xb") as file:
                with suppress(OSError):  # a file system without locks
                    fcntl.flock(file, fcntl.LOCK_EX)
                if os.fstat(file.fileno()).st_nlink == 0:
                    continue  # another service has swept it between its making and its lock
                yield part, file
                return
        finally:
            with suppress(OSError):
                part.unlink()


def _sweep(part: Path) -> None:
    """Remove a part whose writer has died: its lock died with it.

    Raises:
        OSError: it is gone already, or may not be removed.
    """
    with _opened(part) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        except OSError:  # a file system without locks
            if time.time() - os.fstat(file.fileno()).st_mtime <= FORGOTTEN_PART_S:
                return
        part.unlink()


def _failed(error: OSError) -> str:
    return f"failed ({error.strerror}); embeddings are not kept there meanwhile"
