"""What a service takes from the machine: memory, threads, file handles; from /proc, so on Linux."""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Usage:
    """A process and its children at one moment; `at_s` is of time.monotonic()."""

    at_s: float
    resident_mb: float
    threads: int
    handles: int


def children(pid: int) -> list[int]:
    """The processes that a process has started, such as gunicorn's worker."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def family(pid: int) -> list[int]:
    """A process and the processes that it has started."""
    return [pid, *children(pid)]


def resident_mb(pid: int) -> float:
    """Return the resident memory of gunicorn's parent and worker, what they share counted once."""
    rollups = [Path(f"/proc/{each}/smaps_rollup").read_text() for each in family(pid)]
    return sum(int(re.search(r"^Pss: +(\d+) kB", text, re.MULTILINE)[1]) for text in rollups) / 1024


def usage(pid: int) -> Usage:
    """Return what gunicorn's parent and worker take now."""
    folders = [Path(f"/proc/{each}") for each in family(pid)]
    return Usage(
        time.monotonic(),
        resident_mb(pid),
        sum(len(list((folder / "task").iterdir())) for folder in folders),
        sum(len(list((folder / "fd").iterdir())) for folder in folders),
    )


@contextmanager
def usage_watch(pid: int, interval_s: float) -> Iterator[list[Usage]]:
    """Collect what a service takes, all the while."""
    seen: list[Usage] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(interval_s):
            seen.append(usage(pid))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()
