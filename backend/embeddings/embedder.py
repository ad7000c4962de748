"""Embeddings on demand: one computation per image however many ask, annotators before guesses."""

import functools
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from backend.core.ttl_map import TtlMap
from backend.core.workers import Urgency, Workers
from backend.embeddings.slow_tiers import SlowTiers, StoredEmbedding
from backend.embeddings.tiers.base import EmbeddingKey, LruCache
from backend.monitoring.request_record import (
    StepTimes,
    collecting_steps,
    current_record,
    step,
    waiting_for,
)
from mobilesam import Embedding

MAX_GUESSES = 64  # waiting computations that nobody waits for; more are dropped
RESERVED_THREADS = 2  # for annotators
MISSES_KEPT = 1000
MISS_TRUSTED_S = 10  # then the slower tiers are asked again: another service may have embedded it


@dataclass
class _Job:
    """A computation that is waiting or running, and all who wait for it."""

    compute: Callable[[], Embedding]
    result: Future[Embedding] = field(default_factory=Future)
    urgency: Urgency | None = None  # None: not queued yet
    has_begun: bool = False
    steps_s: StepTimes = field(default_factory=dict)

    def wait(self) -> Embedding:
        """Return the result when it is there, or raise what the computation raised."""
        current_record().tiers.append("encoder")
        with waiting_for(self.steps_s):
            return self.result.result()


class Embedder:
    """Runs the image encoder in threads of its own, the most urgent image first.

    The clicks' decoding goes on beside it in the requests' own threads.

    Args:
        cache: the fastest tier, where embeddings are looked up first and kept.
        slow_tiers: asked before the encoder; in the threads of those who ask, so that
            nobody waits for an encode in order to find what is there.
        threads: images that are worked on at once, decoded above all: `compute` has to see to it
            that no two encode at once, which would make both later. Of several threads, two are
            for annotators alone.
        tier: what the fastest tier is called.
    """

    def __init__(
        self,
        cache: LruCache[EmbeddingKey, Embedding],
        slow_tiers: SlowTiers,
        *,
        threads: int = 1,
        tier: str = "memory",
    ) -> None:
        self.cache = cache
        self.tier = tier
        self.slow_tiers = slow_tiers
        self._lock = threading.Lock()
        self._pending: dict[EmbeddingKey, _Job] = {}
        self._looking: dict[EmbeddingKey, Future[StoredEmbedding | None]] = {}
        self._missed: TtlMap[EmbeddingKey, bool] = TtlMap(MISSES_KEPT)
        self._encoder = Workers("encoder", threads, reserved=min(RESERVED_THREADS, threads - 1))

    def find(self, key: EmbeddingKey, compute: Callable[[], Embedding]) -> Embedding:
        """Return an embedding from a cache, or compute it and wait.

        Args:
            key: of the image.
            compute: decodes and encodes the image; called at most once for all who ask meanwhile.

        Raises:
            Exception: whatever `compute` raises, to everybody who waits for it.
        """
        found = self.find_stored(key)
        if found is not None:
            return found
        with self._lock:
            embedding = self.find_kept(key)  # somebody was faster
            if embedding is not None:
                return embedding
            job = self._pending.get(key) or _Job(compute)
            self._enter(key, job, Urgency.ANNOTATOR)
        return job.wait()

    def find_kept(self, key: EmbeddingKey) -> Embedding | None:
        """Return an embedding that is in memory, or None, without waiting."""
        embedding = self.cache.get(key) if key in self.cache else None
        if embedding is not None:
            current_record().tiers.append(self.tier)
        return embedding

    def find_stored(self, key: EmbeddingKey) -> Embedding | None:
        """Return an embedding that any tier has or that is being computed, or None."""
        with self._lock:
            embedding = self.cache.get(key)
            if embedding is not None:
                current_record().tiers.append(self.tier)
                return embedding
            job = self._pending.get(key)
            if job is not None:
                self._enter(key, job, Urgency.ANNOTATOR)
        if job is not None:
            return job.wait()
        return self._look_up(key)

    def load(self, key: EmbeddingKey) -> bool:
        """Bring an embedding into memory from a slower tier; say whether it is there or coming."""
        return self.has(key) or self._look_up(key) is not None

    def prepare(
        self, key: EmbeddingKey, compute: Callable[[], Embedding], urgency: Urgency
    ) -> bool:
        """Start computing an embedding that somebody may ask for, unless a tier has it.

        It is dropped where too many wait that are at least as urgent. Nothing is computed for
        prefetched tasks while anything else waits.

        Returns:
            Whether it is there or coming, and was not dropped.
        """
        if self.load(key):
            return True
        if urgency is Urgency.PREFETCH and self.is_busy():
            return False
        with self._lock:
            if not self._has(key):
                if self._encoder.waiting(urgency) >= MAX_GUESSES:
                    return False
                self._enter(key, _Job(compute), urgency)
        return True

    def is_busy(self) -> bool:
        """Say whether anything waits for the encoder that somebody asked for."""
        return self._encoder.waiting(Urgency.BATCH) > 0

    def has(self, key: EmbeddingKey) -> bool:
        """Say whether an embedding is kept or being computed."""
        with self._lock:
            return self._has(key)

    def waiting(self) -> int:
        """Return how many images wait for the encoder, the one in it included."""
        return len(self._pending)

    def close(self) -> None:
        """Compute nothing any more; who waits for something is told so."""
        self._encoder.close()
        with self._lock:
            jobs = [job for job in self._pending.values() if not job.has_begun]
        for job in jobs:
            job.result.cancel()

    def _has(self, key: EmbeddingKey) -> bool:
        return key in self._pending or key in self.cache

    def _look_up(self, key: EmbeddingKey) -> Embedding | None:
        """Look into the slower tiers, or wait for somebody else's look."""
        found = self._look_up_once(key)
        if found is None:
            return None
        current_record().tiers.append(found.tier)
        return found.embedding

    def _look_up_once(self, key: EmbeddingKey) -> StoredEmbedding | None:
        mine: Future[StoredEmbedding | None] = Future()
        with self._lock:
            if self._missed.get(key):
                return None
            looking = self._looking.setdefault(key, mine)
        if looking is not mine:
            with step("load"):
                return looking.result()
        found: StoredEmbedding | None = None
        try:
            found = self.slow_tiers.find(key)
        except BaseException as error:
            mine.set_exception(error)
            raise
        finally:
            with self._lock:
                del self._looking[key]
                if found is not None:
                    self.cache.put(key, found.embedding)
                else:
                    self._missed.put(key, True, lifetime_s=MISS_TRUSTED_S)
        mine.set_result(found)
        return found

    def _enter(self, key: EmbeddingKey, job: _Job, urgency: Urgency) -> None:
        """Queue a job, or queue it once more in front; the encoder skips whichever comes later."""
        self._pending[key] = job
        if job.urgency is None or urgency < job.urgency:
            job.urgency = urgency
            self._encoder.submit(urgency, functools.partial(self._run, key))

    def _run(self, key: EmbeddingKey) -> None:
        with self._lock:
            job = self._pending.get(key)
            if job is None or job.has_begun:
                return
            job.has_begun = True
        try:
            with collecting_steps(job.steps_s):
                embedding = job.compute()
        except BaseException as error:  # noqa: BLE001 - it is handed to those who wait
            with self._lock:
                del self._pending[key]
            job.result.set_exception(error)
            return
        with self._lock:
            self.cache.put(key, embedding)
            del self._pending[key]
            self._missed.put(key, True, lifetime_s=0)  # not any more
        job.result.set_result(embedding)
        self.slow_tiers.put(key, embedding)
