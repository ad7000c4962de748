"""Daemon threads on a priority queue."""

import enum
import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")

log = logging.getLogger(__name__)


class Urgency(enum.IntEnum):
    """Who a job is for."""

    ANNOTATOR = 0  # somebody clicked and waits
    OPENED_TASK = 1  # somebody will click soon
    BATCH = 2  # somebody may click some day
    PREFETCH = 3  # nobody has asked; the project would serve it next


class Workers:
    """Daemon threads on one priority queue; they end with the process, whatever is left to do.

    Args:
        name: of the threads.
        threads: how many jobs run at once.
        reserved: of these, for annotators' jobs only: whatever the others do, and however long it
            takes, somebody who waits finds a thread.
    """

    def __init__(self, name: str, threads: int, *, reserved: int = 0) -> None:
        self._jobs: list[tuple[Urgency, int, Callable[[], object]]] = []  # a heap
        self._order = itertools.count()  # first come, first served among the equally urgent
        self._changed = threading.Condition()
        self._is_closed = False
        self._threads = [
            threading.Thread(
                target=self._work,
                args=(Urgency.ANNOTATOR if number < reserved else Urgency.PREFETCH,),
                name=f"{name}-{number}",
                daemon=True,
            )
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, urgency: Urgency, job: Callable[[], object]) -> None:
        """Queue a job; what it raises is logged."""
        with self._changed:
            heapq.heappush(self._jobs, (urgency, next(self._order), job))
            self._changed.notify_all()

    def call(
        self, urgency: Urgency, function: Callable[..., Result], *arguments: object
    ) -> Future[Result]:
        """Queue a call; what it returns or raises is the future's."""
        future: Future[Result] = Future()

        def run() -> None:
            try:
                future.set_result(function(*arguments))
            except BaseException as error:  # noqa: BLE001 - it is handed to the one who waits
                future.set_exception(error)

        self.submit(urgency, run)
        return future

    def waiting(self, least: Urgency = Urgency.PREFETCH) -> int:
        """Return how many jobs that are at least as urgent have not begun."""
        with self._changed:
            return sum(urgency <= least for urgency, _, _ in self._jobs)

    def close(self, timeout_s: float = 0) -> None:
        """Drop what waits, and end each thread after its job; wait for them up to `timeout_s`."""
        with self._changed:
            self._is_closed = True
            self._jobs.clear()
            self._changed.notify_all()
        until = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0, until - time.monotonic()))

    def _work(self, least: Urgency) -> None:
        while (job := self._next(least)) is not None:
            try:
                job()
            except Exception:
                log.exception("a background job failed")

    def _next(self, least: Urgency) -> Callable[[], object] | None:
        with self._changed:
            while not self._is_closed:
                if self._jobs and self._jobs[0][0] <= least:
                    return heapq.heappop(self._jobs)[2]
                self._changed.wait()
        return None
