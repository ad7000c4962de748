"""Memory as a tier behind a GPU: what that drops is not fetched and encoded again."""

from backend.embeddings.tiers.base import CacheState, LruCache


class MemoryStore:
    """Bytes under names, bounded; what was not used for longest goes first. See `cache.ByteStore`.

    Args:
        max_bytes: sum of the entries' sizes. An entry larger than that is not kept.
    """

    name = "memory"

    def __init__(self, max_bytes: int) -> None:
        self._kept: LruCache[str, memoryview] = LruCache(max_bytes)

    def get(self, name: str) -> bytes | None:
        """Return what was put last and count it as used now, or None."""
        value = self._kept.get(name)
        return None if value is None else bytes(value)

    def put(self, name: str, value: bytes) -> bool:
        """Keep a value, and say whether it has room."""
        self._kept.put(name, memoryview(value))  # bytes do not know their size as `nbytes`
        return len(value) <= self._kept.max_bytes

    def remove(self, name: str) -> None:
        """Forget a value."""
        self._kept.remove(name)

    def has(self, name: str) -> bool:
        """Say whether a value is kept, without counting it as used."""
        return name in self._kept

    def state(self) -> CacheState:
        """Return the numbers of this moment."""
        return self._kept.state()

    def close(self) -> None:
        """Nothing runs for it."""
