"""The items of a large JSON file, one at a time, as bytes that were not parsed yet.

One item that is damaged, huge or nested without end is that item's fault and not the file's: only
brackets and strings are looked at here, so memory holds one item whatever is in it.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

CHUNK_BYTES = 1 << 20
MAX_ITEM_BYTES = 256 << 20
MAX_DEPTH = 64  # brackets within an item; results of Label Studio have about eight

# A whole string, or one that goes on in the next chunk; or a bracket.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|(\\?\Z))|[\[\]{}]', re.DOTALL)
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_NO_SPACE = re.compile(rb"[^ \t\r\n]")
_SCALAR_END = re.compile(rb"[\],} \t\r\n]")
_OPEN, _CLOSE = b"[{", b"]}"


class JsonError(ValueError):
    """The file is no JSON, or ends early."""


@dataclass(frozen=True)
class JsonItem:
    """One item: of the list `key` of an object, or of the file's own list (None).

    `data` is empty where the item is nested deeper than `MAX_DEPTH`.
    """

    key: str | None
    data: bytes


def read_items(
    file: BinaryIO,
    *,
    on_progress: Callable[[int], object] = lambda _: None,
    on_list: Callable[[str], object] = lambda _: None,
) -> Iterator[JsonItem]:
    """Read the items of a list, or those of all lists that an object has.

    Args:
        file: at its beginning.
        on_progress: called with the number of bytes that were read since the last call.
        on_list: called with the name of each list of an object, empty ones too.

    Raises:
        JsonError: it is neither a list nor an object, is no JSON between its items, ends early,
            or has an item of more than `MAX_ITEM_BYTES`.
    """
    reader = _Reader(file, on_progress)
    first = reader.next_byte()
    if first == b"\xef":  # a byte order mark
        reader.skip(3)
        first = reader.next_byte()
    if first == b"[":
        yield from _items(reader, None)
    elif first == b"{":
        yield from _lists(reader, on_list)
    else:
        raise JsonError("it is no list and no object")
    if reader.next_byte(at_end=b"") != b"":
        raise JsonError(f"there is more after its end, at byte {reader.place}")


def _lists(reader: "_Reader", on_list: Callable[[str], object]) -> Iterator[JsonItem]:
    reader.expect(b"{")
    if reader.next_byte() == b"}":
        reader.skip(1)
        return
    while True:
        if reader.next_byte() != b'"':
            raise JsonError(f"a name is expected at byte {reader.place}")
        name = reader.value().strip(b'"').decode(errors="replace")
        reader.expect(b":")
        if reader.next_byte() == b"[":
            on_list(name)
            yield from _items(reader, name)
        else:
            reader.value()
        if reader.separator(b"}"):
            return


def _items(reader: "_Reader", key: str | None) -> Iterator[JsonItem]:
    reader.expect(b"[")
    if reader.next_byte() == b"]":
        reader.skip(1)
        return
    while True:
        yield JsonItem(key, reader.value())
        if reader.separator(b"]"):
            return


class _Reader:
    """The bytes of a file from the place on that was reached."""

    def __init__(self, file: BinaryIO, on_progress: Callable[[int], object]) -> None:
        self._file = file
        self._on_progress = on_progress
        self._data = b""
        self._at = 0
        self._dropped = 0

    @property
    def place(self) -> int:
        return self._dropped + self._at

    def skip(self, count: int) -> None:
        self._at += count

    def next_byte(self, *, at_end: bytes | None = None) -> bytes:
        """The next byte that is no space, which is not passed."""
        while True:
            if found := _NO_SPACE.search(self._data, self._at):
                self._at = found.start()
                return found.group()
            self._at = len(self._data)
            if not self._more():
                if at_end is not None:
                    return at_end
                raise JsonError("it ends early")

    def expect(self, byte: bytes) -> None:
        found = self.next_byte()
        if found != byte:
            raise JsonError(f"{byte.decode()!r} is expected at byte {self.place}, not {found!r}")
        self.skip(1)

    def separator(self, end: bytes) -> bool:
        """Pass a comma, or the end; whether it was the end."""
        if self.next_byte() == end:
            self.skip(1)
            return True
        self.expect(b",")
        return False

    def value(self) -> bytes:
        """Pass a value, and return it; nothing of one that is nested too deep."""
        first = self.next_byte()
        if first == b'"':
            return self._until(_STRING)
        if first in _OPEN:
            return self._nested()
        return self._scalar()

    def _until(self, pattern: re.Pattern[bytes]) -> bytes:
        while not (found := pattern.match(self._data, self._at)):
            self._require_more()
        self._at = found.end()
        return found.group()

    def _scalar(self) -> bytes:
        while not (found := _SCALAR_END.search(self._data, self._at)):
            self._require_more()
        data = self._data[self._at : found.start()]
        if not data:
            raise JsonError(f"a value is expected at byte {self.place}")
        self._at = found.start()
        return data

    def _nested(self) -> bytes:
        depth = deepest = 0
        offset = 0  # of what was scanned, from the value's beginning
        while True:
            for token in _TOKEN.finditer(self._data, self._at + offset):
                first = self._data[token.start()]
                if first in _OPEN:
                    depth += 1
                    deepest = max(deepest, depth)
                elif first in _CLOSE:
                    depth -= 1
                    if not depth:
                        data = self._data[self._at : token.end()]
                        self._at = token.end()
                        return data if deepest <= MAX_DEPTH else b""
                elif token.lastindex:  # this string goes on in the next chunk
                    offset = token.start() - self._at
                    break
            else:
                offset = len(self._data) - self._at
            self._require_more()

    def _require_more(self) -> None:
        if len(self._data) - self._at > MAX_ITEM_BYTES:
            raise JsonError(f"the item at byte {self.place} is over {MAX_ITEM_BYTES >> 20} MB")
        if not self._more():
            raise JsonError(f"it ends within the item at byte {self.place}")

    def _more(self) -> bool:
        kept = self._data[self._at :]
        # As much again as an unfinished item has: else reading one would be quadratic.
        more = self._file.read(max(CHUNK_BYTES, len(kept)))
        self._on_progress(len(more))
        self._dropped += self._at
        self._at = 0
        self._data = kept + more
        return bool(more)
