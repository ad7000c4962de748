"""Embeddings on demand: one computation per image however many ask, annotators before guesses."""

import functools
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from backend.cache import EmbeddingCache, EmbeddingKey
from backend.workers import Urgency, Workers
from mobilesam import Embedding

MAX_GUESSES = 64  # waiting computations that nobody waits for; more are dropped


@dataclass
class _Job:
    """A computation that is waiting or running, and all who wait for it."""

    compute: Callable[[], Embedding]
    result: Future[Embedding] = field(default_factory=Future)
    urgency: Urgency | None = None  # None: not queued yet


class Embedder:
    """Runs the image encoder in one thread of its own, the most urgent image first.

    One encode at a time: it uses all cores (or the GPU) by itself, and two at once would only make
    both later. The clicks' decoding goes on beside it in the requests' own threads.

    Args:
        cache: where embeddings are looked up and kept.
    """

    def __init__(self, cache: EmbeddingCache[Embedding]) -> None:
        self.cache = cache
        self._lock = threading.Lock()
        self._pending: dict[EmbeddingKey, _Job] = {}
        self._encoder = Workers("encoder", threads=1)

    def find(self, key: EmbeddingKey, compute: Callable[[], Embedding]) -> Embedding:
        """Return an embedding from the cache, or compute it and wait.

        Args:
            key: of the image.
            compute: decodes and encodes the image; called at most once for all who ask meanwhile.

        Raises:
            Exception: whatever `compute` raises, to everybody who waits for it.
        """
        with self._lock:
            embedding = self.cache.get(key)
            if embedding is not None:
                return embedding
            job = self._pending.get(key) or _Job(compute)
            self._enter(key, job, Urgency.ANNOTATOR)
        return job.result.result()

    def find_kept(self, key: EmbeddingKey) -> Embedding | None:
        """Return an embedding that is kept, or None, without waiting."""
        return self.cache.get(key) if key in self.cache else None

    def find_pending(self, key: EmbeddingKey) -> Embedding | None:
        """Wait for an embedding that is being computed; None if it is not."""
        with self._lock:
            job = self._pending.get(key)
            if job is None:
                return None
            self._enter(key, job, Urgency.ANNOTATOR)
        return job.result.result()

    def prepare(
        self, key: EmbeddingKey, compute: Callable[[], Embedding], urgency: Urgency
    ) -> None:
        """Start computing an embedding that somebody may ask for, unless too many wait already."""
        with self._lock:
            if not self._has(key) and self._encoder.waiting() < MAX_GUESSES:
                self._enter(key, _Job(compute), urgency)

    def has(self, key: EmbeddingKey) -> bool:
        """Say whether an embedding is kept or being computed."""
        with self._lock:
            return self._has(key)

    def waiting(self) -> int:
        """Return how many images wait for the encoder, the one in it included."""
        return len(self._pending)

    def _has(self, key: EmbeddingKey) -> bool:
        return key in self._pending or key in self.cache

    def _enter(self, key: EmbeddingKey, job: _Job, urgency: Urgency) -> None:
        """Queue a job, or queue it once more in front; the encoder skips whichever comes later."""
        self._pending[key] = job
        if job.urgency is None or urgency < job.urgency:
            job.urgency = urgency
            self._encoder.submit(urgency, functools.partial(self._run, key))

    def _run(self, key: EmbeddingKey) -> None:
        job = self._pending.get(key)
        if job is None:
            return
        try:
            embedding = job.compute()
        except BaseException as error:  # noqa: BLE001 - it is handed to those who wait
            with self._lock:
                del self._pending[key]
            job.result.set_exception(error)
            return
        with self._lock:
            self.cache.put(key, embedding)
            del self._pending[key]
        job.result.set_result(embedding)
