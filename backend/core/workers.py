"""Daemon threads on a priority queue."""

import enum
import itertools
import logging
import queue
import threading
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
    """Daemon threads on one queue; they end with the process, whatever is left to do.

    Args:
        name: of the threads.
        threads: how many jobs run at once.
    """

    def __init__(self, name: str, threads: int) -> None:
        self._jobs: queue.PriorityQueue[tuple[Urgency, int, Callable[[], object]]] = (
            queue.PriorityQueue()
        )
        self._order = itertools.count()  # first come, first served among the equally urgent
        for number in range(threads):
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True).start()

    def submit(self, urgency: Urgency, job: Callable[[], object]) -> None:
        """Queue a job; what it raises is logged."""
        self._jobs.put((urgency, next(self._order), job))

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
        with self._jobs.mutex:
            return sum(urgency <= least for urgency, _, _ in self._jobs.queue)

    def _work(self) -> None:
        while True:
            _, _, job = self._jobs.get()
            try:
                job()
            except Exception:
                log.exception("a background job failed")
