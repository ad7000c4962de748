"""Image embeddings in memory: bounded in bytes, the least recently used out first."""

import threading
from collections import OrderedDict
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


Value = TypeVar("Value", bound=Sized)


@dataclass(frozen=True)
class CacheState:
    """How full a cache is, and how well it has served so far."""

    entries: int
    bytes: int
    max_bytes: int
    hits: int
    misses: int


class EmbeddingCache(Generic[Value]):
    """A thread-safe map that forgets what was not used for longest.

    Args:
        max_bytes: sum of the values' sizes that is kept. A value larger than that is not kept.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._lock = threading.Lock()
        self._values: OrderedDict[EmbeddingKey, Value] = OrderedDict()
        self._bytes = 0
        self._hits = 0
        self._misses = 0

    def get(self, key: EmbeddingKey) -> Value | None:
        """Return a value and count it as used now, or None."""
        with self._lock:
            value = self._values.get(key)
            if value is None:
                self._misses += 1
                return None
            self._hits += 1
            self._values.move_to_end(key)
            return value

    def __contains__(self, key: EmbeddingKey) -> bool:
        """Say whether a value is kept, without counting it as used."""
        with self._lock:
            return key in self._values

    def put(self, key: EmbeddingKey, value: Value) -> None:
        """Keep a value, and drop others where it needs their room."""
        with self._lock:
            earlier = self._values.pop(key, None)
            if earlier is not None:
                self._bytes -= earlier.nbytes
            if value.nbytes > self.max_bytes:
                return
            self._values[key] = value
            self._bytes += value.nbytes
            while self._bytes > self.max_bytes:
                _, dropped = self._values.popitem(last=False)
                self._bytes -= dropped.nbytes

    def state(self) -> CacheState:
        """Return the numbers of this moment."""
        with self._lock:
            return CacheState(
                len(self._values), self._bytes, self.max_bytes, self._hits, self._misses
            )
