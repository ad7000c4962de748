"""Embeddings in the tiers below memory: found there, unpacked, and put there in the background."""

import functools
import hashlib
import logging
import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from backend.core.units import MEGABYTE
from backend.core.workers import Urgency, Workers
from backend.embeddings.tiers.base import ByteStore, CacheState, EmbeddingKey
from backend.embeddings.tiers.disk import DiskCache
from backend.embeddings.tiers.memory import MemoryStore
from backend.embeddings.tiers.redis import RedisCache
from backend.monitoring.request_record import step
from backend.settings.settings import Settings
from mobilesam import Embedding, EmbeddingBytesError, Predictor

# Embeddings that wait to be written, 4 MB each in the worst case; more are not written at all.
MAX_WAITING_WRITES = 32
HOUR_S = 3600
_NAME_BYTES = hashlib.sha256().digest_size

log = logging.getLogger(__name__)


class StoredEmbedding(NamedTuple):
    """What a slow tier had, and the name of that tier."""

    embedding: Embedding
    tier: str


class SlowTiers:
    """The slow tiers as one. Safe under threads.

    An entry starts with the hash that it is named by: one that was copied to another's place is
    not taken for it.

    Args:
        stores: the faster first; none is well too.
        pack: an embedding -> its bytes.
        unpack: its bytes -> an embedding; raises EmbeddingBytesError for damaged ones.
    """

    def __init__(
        self,
        stores: Sequence[ByteStore],
        pack: Callable[[Embedding], bytes],
        unpack: Callable[[bytes], Embedding],
    ) -> None:
        self._stores = tuple(stores)
        self._pack = pack
        self._unpack = unpack
        self._writer = Workers("store", threads=1) if stores else None

    @classmethod
    def from_settings(
        cls, settings: Settings, predictor: Predictor, *, with_memory: bool = False
    ) -> Self:
        """Open the disk tier and the Redis tier, where they are set.

        Args:
            settings: say so, and what there is room for.
            predictor: whose embeddings they are.
            with_memory: whether the machine's memory is a tier, too; where it is the fastest one
                already, it is not.
        """
        stores: list[ByteStore] = []
        if with_memory:
            stores.append(MemoryStore(settings.cache_mb * MEGABYTE))
        if settings.cache_dir is not None:
            stores.append(DiskCache(Path(settings.cache_dir), settings.cache_dir_mb * MEGABYTE))
        if settings.redis_url is not None:
            stores.append(RedisCache(settings.redis_url, expire_s=settings.redis_hours * HOUR_S))

        def unpack(data: bytes) -> Embedding:
            return predictor.unpack(data).in_half_precision()  # as what was encoded here is kept

        return cls(stores, predictor.pack, unpack)

    def find(self, key: EmbeddingKey) -> StoredEmbedding | None:
        """Look into each tier; what a slower one has is put into the faster ones."""
        name = _name(*key)
        for number, store in enumerate(self._stores):
            with step("load"):
                entry = store.get(name)
                embedding = None if entry is None else self._opened(name, entry)
            if entry is None:
                continue
            if embedding is not None:
                for faster in self._stores[:number]:
                    self._later(functools.partial(faster.put, name, entry))
                return StoredEmbedding(embedding, store.name)
            log.info("a damaged entry is removed from the %s cache", store.name)
            store.remove(name)
        return None

    def put(self, key: EmbeddingKey, embedding: Embedding) -> None:
        """Write an embedding to all tiers in the background, unless many wait already."""
        self._later(functools.partial(self.write, key, embedding))

    def write(self, key: EmbeddingKey, embedding: Embedding) -> int:
        """Write an embedding to all tiers and wait.

        Returns:
            Bytes of the entry; 0 if no tier took it.
        """
        name = _name(*key)
        entry = bytes.fromhex(name) + self._pack(embedding)
        kept = [store.put(name, entry) for store in self._stores]
        return len(entry) if any(kept) else 0

    def has(self, key: EmbeddingKey) -> bool:
        """Say whether a tier has an embedding; whether it is sound is seen when it is read."""
        name = _name(*key)
        return any(store.has(name) for store in self._stores)

    def note_image(self, place: str, image_sha256: str) -> None:
        """Remember which image was at a place, so that it need not be fetched to know that."""
        for store in self._stores:
            store.put(_name("place", place), image_sha256.encode())

    def noted_image(self, place: str) -> str | None:
        """Return the SHA-256 of the image that was at a place; it may be another one by now."""
        for store in self._stores:
            note = (store.get(_name("place", place)) or b"").decode(errors="replace")
            if re.fullmatch(r"[0-9a-f]{64}", note):
                return note
        return None

    @property
    def shared_notes(self) -> RedisCache | None:
        """The tier that services on other machines see at once, if there is one."""
        return next((store for store in self._stores if isinstance(store, RedisCache)), None)

    def state(self) -> dict[str, CacheState]:
        """Return the numbers of each tier, by its name."""
        return {store.name: store.state() for store in self._stores}

    def flush(self, timeout_s: float) -> bool:
        """Wait until what `put` was given before is written; say whether that was in time."""
        if self._writer is None:
            return True
        written = threading.Event()
        self._writer.submit(Urgency.PREFETCH, written.set)  # behind all that waits
        return written.wait(timeout_s)

    def close(self) -> None:
        """End the tiers' threads and connections."""
        if self._writer is not None:
            self._writer.close()
        for store in self._stores:
            store.close()

    def _opened(self, name: str, entry: bytes) -> Embedding | None:
        if entry[:_NAME_BYTES].hex() != name:
            return None
        try:
            return self._unpack(entry[_NAME_BYTES:])
        except EmbeddingBytesError as error:
            log.debug("%s", error)
            return None

    def _later(self, job: Callable[[], object]) -> None:
        if self._writer is not None and self._writer.waiting() < MAX_WAITING_WRITES:
            self._writer.submit(Urgency.BATCH, job)


def _name(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode(errors="replace")).hexdigest()
