"""A service as a process, with annotators who click on it, for faults that are about processes."""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import requests
from processes import is_alive

from benchmarks import service_load
from benchmarks.service_load import START_TIMEOUT_S


@contextmanager
def running_service(folder: Path, **environment):
    """Start a service with the demo weights and give its process and address when it is healthy."""
    backend, url = service_load.service("demo", folder / "log", environment=environment)
    with backend:
        backend.wait_until_healthy(f"{url}/health", timeout_s=START_TIMEOUT_S)
        yield backend, url


def seconds_to_exit(pid: int, within_s: float) -> float:
    """Wait for a process to end; says how long that took."""
    started = time.monotonic()
    while is_alive(pid):
        taken = time.monotonic() - started
        if taken > within_s:
            os.kill(pid, signal.SIGKILL)
            raise AssertionError(f"process {pid} still runs after {taken:.1f} s")
        time.sleep(0.02)
    return time.monotonic() - started


class Annotators:
    """Click their tasks in turn until they are told to stop.

    `clicks` are those that were answered; `refused` counts those that found nobody who listens, or
    met another error that is `expected`.
    """

    def __init__(
        self, url: str, images: str, tasks, *, at_once: int, expected=(requests.ConnectionError,)
    ):
        self.clicks: list[service_load.Click] = []
        self.refused = 0
        self._expected = expected
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(at_once)
        self._work = [
            self._pool.submit(self._annotate, url, images, tasks[number % len(tasks)])
            for number in range(at_once)
        ]

    def _annotate(self, url, images, task):
        index = 0
        while not self._stop.is_set():
            try:
                click = service_load.click(url, images, task, index % len(task.points_xy))
            except self._expected:
                with self._lock:
                    self.refused += 1
                self._stop.wait(0.02)
            else:
                with self._lock:
                    self.clicks.append(click)
            index += 1

    def wait_for(self, clicks: int, within_s: float):
        """Wait until that many more were answered."""
        wanted, end = len(self.clicks) + clicks, time.monotonic() + within_s
        while len(self.clicks) < wanted:
            assert time.monotonic() < end, f"{len(self.clicks)} of {wanted} clicks"
            time.sleep(0.02)

    def stop(self) -> list[str]:
        """Let them finish; what was wrong with each answer, empty for a right one."""
        self._stop.set()
        for work in self._work:
            work.result(60)
        self._pool.shutdown()
        return [click.fault() for click in self.clicks]
