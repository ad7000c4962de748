"""What is counted as a service's memory."""

import subprocess
import sys
from contextlib import contextmanager

import pytest

from benchmarks.process_watch import resident_mb

FILE_MB = 64
SLACK_MB = 8  # Python's own pages, of which each process has a few more or less
MAP_FILE = """
import mmap, pathlib, sys
with open(sys.argv[1], "rb") as file:
    pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
sum(pages[::mmap.PAGESIZE])
"""
OWN_MEMORY = f"own = b'x' * ({FILE_MB} << 20)\n"
GO_ON_IN_WORKER = "import os\nif os.fork(): sys.stdin.read(); sys.exit()\n"
READY = "print('ready', flush=True)\nsys.stdin.read()\n"


@pytest.fixture
def big_file(tmp_path):
    path = tmp_path / "library"
    path.write_bytes(b"x" * (FILE_MB << 20))
    return path


@contextmanager
def program(code, *arguments):
    """A Python program that has run and waits; gives its process id."""
    command = [sys.executable, "-c", "import sys\n" + code + READY, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        yield process.pid
        process.stdin.close()


def test_memory_stays_the_same_when_another_program_loads_the_same_library(big_file):
    with program(MAP_FILE, big_file) as service:
        alone = resident_mb(service)
        with program(MAP_FILE, big_file):
            beside = resident_mb(service)
    assert alone >= FILE_MB
    assert beside == pytest.approx(alone, abs=SLACK_MB)


@pytest.mark.parametrize(
    "taken",
    [pytest.param(MAP_FILE, id="file"), pytest.param(OWN_MEMORY, id="memory")],
)
def test_what_a_worker_shares_with_its_parent_counts_once(big_file, taken):
    with program(taken, big_file) as one:
        of_one = resident_mb(one)
    with program(taken + GO_ON_IN_WORKER, big_file) as parent:
        of_both = resident_mb(parent)
    assert of_both == pytest.approx(of_one, abs=SLACK_MB)


def test_what_a_worker_takes_by_itself_counts():
    with program(GO_ON_IN_WORKER) as parent:
        without = resident_mb(parent)
    with program(GO_ON_IN_WORKER + OWN_MEMORY) as parent:
        with_it = resident_mb(parent)
    assert with_it == pytest.approx(without + FILE_MB, abs=SLACK_MB)
