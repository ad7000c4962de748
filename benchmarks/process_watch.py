"""What a service takes from the machine: memory, threads, file handles; from /proc, so on Linux."""

import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_MAPPING = re.compile(r"^[0-9a-f]+-[0-9a-f]+ \S+ ([0-9a-f]+) \S+ \d+ *(.*)$", re.MULTILINE)


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
    """Return the resident memory of gunicorn's parent and worker, what they share counted once.

    It is what they would take alone on the machine. Their proportional size (Pss) is less: a page
    of torch's libraries counts half there while another program has torch loaded, and a service
    seems to grow by hundreds of megabytes when a test run beside it ends.
    """
    processes = family(pid)
    rollups = [Path(f"/proc/{each}/smaps_rollup").read_text() for each in processes]
    own_kb = sum(_kb("Pss_Anon", rollup) for rollup in rollups)  # shared within the family only
    files_kb: Counter[tuple[str, ...]] = Counter()
    for each in processes:
        files_kb |= _file_pages_kb(each)  # of each place the larger: both map the same libraries
    return (own_kb + files_kb.total()) / 1024


def _file_pages_kb(pid: int) -> Counter[tuple[str, ...]]:
    """Return the kilobytes that a process has of files, by place in the file and its name."""
    found: Counter[tuple[str, ...]] = Counter()
    _, *pieces = _MAPPING.split(Path(f"/proc/{pid}/smaps").read_text())
    for offset, name, sizes in zip(pieces[::3], pieces[1::3], pieces[2::3], strict=True):
        found[offset, name] += _kb("Rss", sizes) - _kb("Anonymous", sizes)
    return found


def _kb(name: str, sizes: str) -> int:
    return int(re.search(rf"^{name}: +(\d+) kB", sizes, re.MULTILINE)[1])


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
