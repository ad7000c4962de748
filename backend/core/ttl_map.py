"""Thread-safe map with a capacity and a time to live for each entry."""

import threading
import time
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class TtlMap(Generic[Key, Value]):
    """A map whose entries expire; the oldest goes first where it is full.

    Args:
        capacity: how many entries are kept.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        self._seen: OrderedDict[Key, tuple[Value, float]] = OrderedDict()

    def get(self, key: Key) -> Value | None:
        """Return what was put last, or None if that was too long ago or never."""
        with self._lock:
            value, until = self._seen.get(key, (None, 0.0))
            return value if time.monotonic() < until else None

    def put(self, key: Key, value: Value, *, lifetime_s: float) -> None:
        """Keep a value for some seconds, in place of an earlier one."""
        with self._lock:
            self._seen.pop(key, None)
            self._seen[key] = (value, time.monotonic() + lifetime_s)
            while len(self._seen) > self._capacity:
                self._seen.popitem(last=False)

    def remove(self, key: Key) -> None:
        """Take an entry away, if there is one."""
        with self._lock:
            self._seen.pop(key, None)
