"""The tiers that keep embeddings: what all of them offer, and the fastest.

That is memory, or on a GPU the device, with memory behind it. A lookup goes device -> memory ->
disk -> Redis -> encoder (see `embedder.py`, `slow_tiers.py`).
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar


class EmbeddingKey(NamedTuple):
    """What an embedding belongs to: a model's weights and an image's bytes, wherever they are."""

    model_id: str
    image_sha256: str


class Sized(Protocol):
    """Anything that knows the memory it takes, such as `mobilesam.Embedding`."""

    @property
    def nbytes(self) -> int:
        """Size in bytes."""


Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value", bound=Sized)


@dataclass(frozen=True)
class CacheState:
    """How full a cache is, and how well it has served so far; None where that is not known."""

    entries: int | None
    bytes: int | None
    max_bytes: int | None
    hits: int
    misses: int


class ByteStore(Protocol):
    """A tier below the fastest: bytes under names of 64 hexadecimal digits.

    It may lose what was put, and be gone for a while: it then finds nothing and keeps nothing, says
    so once in the log, and never raises. Safe under threads.
    """

    name: str

    def get(self, name: str) -> bytes | None:
        """Return what was put last and count it as used now, or None."""

    def put(self, name: str, value: bytes) -> bool:
        """Keep a value, and say whether that worked."""

    def remove(self, name: str) -> None:
        """Forget a value."""

    def has(self, name: str) -> bool:
        """Say whether a value is kept, without counting it as used."""

    def state(self) -> CacheState:
        """Return the numbers of this moment, at once."""

    def close(self) -> None:
        """End what runs for it; it is not used after that."""


class Outage:
    """Tells the log once that something stopped working, and once that it works again.

    Args:
        log: of the module whose thing it is.
        thing: what it is about, as the sentences start.
    """

    def __init__(self, log: logging.Logger, thing: str) -> None:
        self._log = log
        self._thing = thing
        self._lock = threading.Lock()
        self._lasts = False

    def began(self, fault: str) -> None:
        """Take in a failure; `fault` continues the sentence."""
        with self._lock:
            is_new, self._lasts = not self._lasts, True
        if is_new:
            self._log.warning("%s %s", self._thing, fault)

    def ended(self) -> None:
        """Take in a success."""
        if self._lasts:
            with self._lock:
                was_lasting, self._lasts = self._lasts, False
            if was_lasting:
                self._log.warning("%s works again", self._thing)


class LruCache(Generic[Key, Value]):
    """A thread-safe LRU cache, bounded in bytes: the fastest tier.

    Args:
        max_bytes: sum of the values' sizes that is kept. A value larger than that is not kept.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._lock = threading.Lock()
        self._values: OrderedDict[Key, Value] = OrderedDict()
        self._bytes = 0
        self._hits = 0
        self._misses = 0

    def get(self, key: Key) -> Value | None:
        """Return a value and count it as used now, or None."""
        with self._lock:
            value = self._values.get(key)
            if value is None:
                self._misses += 1
                return None
            self._hits += 1
            self._values.move_to_end(key)
            return value

    def __contains__(self, key: Key) -> bool:
        """Say whether a value is kept, without counting it as used."""
        with self._lock:
            return key in self._values

    def put(self, key: Key, value: Value) -> None:
        """Keep a value, and drop others where it needs their room."""
        with self._lock:
            self._drop(key)
            if value.nbytes > self.max_bytes:
                return
            self._values[key] = value
            self._bytes += value.nbytes
            while self._bytes > self.max_bytes:
                _, dropped = self._values.popitem(last=False)
                self._bytes -= dropped.nbytes

    def remove(self, key: Key) -> None:
        """Forget a value."""
        with self._lock:
            self._drop(key)

    def _drop(self, key: Key) -> None:
        earlier = self._values.pop(key, None)
        if earlier is not None:
            self._bytes -= earlier.nbytes

    def state(self) -> CacheState:
        """Return the numbers of this moment."""
        with self._lock:
            return CacheState(
                len(self._values), self._bytes, self.max_bytes, self._hits, self._misses
            )
