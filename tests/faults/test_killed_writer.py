"""kill -9 of services that write to one cache folder, again and again."""

import random
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import disk_cache_writer
import pytest
from disk_cache_writer import LARGEST_BYTES, NAMES, is_whole, value

from backend.embeddings.tiers.disk import MARKER, DiskCache

ROOT = Path(__file__).parents[2]
KILLS = 200
WRITERS = 2  # on the folder at once
LONGEST_WAIT_S = 0.02  # from the first write to the kill: a write takes about a millisecond
MAX_BYTES = 8 * LARGEST_BYTES  # less than all entries, so that some are dropped all the while


def started(folder, seed):
    arguments = [disk_cache_writer.__file__, ROOT, folder, str(MAX_BYTES), str(seed)]
    return subprocess.Popen([sys.executable, "-I", "-S", *arguments], stdout=subprocess.PIPE)


def size_of(folder):
    """Bytes of the entries; the folder's marker is none."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return sum(path.stat().st_size for path in files if path.name != MARKER)


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A folder after all the kills, and what was seen after each of them."""
    folder = tmp_path_factory.mktemp("killed") / "cache"
    chance = random.Random(5)  # noqa: S311 - not for secrets
    parts, sizes, damaged, read = [], [], [], 0
    for number in range(0, KILLS, WRITERS):
        with ExitStack() as stack:
            writers = [
                stack.enter_context(started(folder, number + each)) for each in range(WRITERS)
            ]
            for writer in writers:
                assert writer.stdout.readline() == b"ready\n"
            for writer in writers:
                time.sleep(chance.uniform(0, LONGEST_WAIT_S))
                writer.kill()
        parts.append(len(list(folder.rglob("*.part"))))
        restarted = DiskCache(folder, MAX_BYTES)
        sizes.append(size_of(folder))
        for name in NAMES:
            entry = restarted.get(name)
            read += entry is not None
            if entry is not None and not is_whole(name, entry):
                damaged.append(name)
    print(
        f"{KILLS} kills, {sum(parts)} of them in the middle of a write; {read} entries read, "
        f"{len(damaged)} damaged; at most {max(sizes) / MAX_BYTES:.2f} of the room taken"
    )
    return folder, parts, sizes, damaged, read


def test_no_damaged_entry_is_read_after_200_kills(killed):
    _, parts, _, damaged, read = killed
    assert sum(parts) >= 5, "the kills hit no writes"
    assert read > KILLS
    assert damaged == []


def test_killed_writers_leave_nothing_that_grows(killed):
    folder, _, sizes, _, _ = killed
    assert list(folder.rglob("*.part")) == []
    assert max(sizes) <= MAX_BYTES + WRITERS * LARGEST_BYTES  # one that neither has counted yet


def test_folder_of_killed_writers_serves_on(killed):
    folder, *_ = killed
    cache = DiskCache(folder, MAX_BYTES)
    for version, name in enumerate(NAMES):
        assert cache.put(name, value(name, version))
        assert cache.get(name) == value(name, version)
    assert cache.state().bytes == size_of(folder) <= MAX_BYTES
