import errno
import fcntl
import logging
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from backend.embeddings.tiers.disk import (
    COUNTED_AGAIN_SHARE,
    FORGOTTEN_PART_S,
    HEADER,
    LARGEST_ENTRY,
    MARKER,
    DiskCache,
)

SIZE = 100
ENTRY = SIZE + len(HEADER)  # of a file
ROOM = 10 * ENTRY


def name(number):
    return f"{number:064x}"


def filled(folder, *numbers, max_bytes=ROOM):
    """A cache with entries whose last uses are a second apart, long ago."""
    cache = DiskCache(folder, max_bytes)
    for age_s, number in enumerate(reversed(numbers)):
        cache.put(name(number), bytes([number]) * SIZE)
        used = time.time() - 1000 - age_s
        os.utime(cache._path(name(number)), (used, used))
    return cache


def names_in(folder):
    return {int(path.stem, 16) for path in folder.glob("*/*.embedding")}


def size_of(folder):
    return sum(path.stat().st_size for path in folder.glob("*/*") if path.is_file())


def test_entry_survives_a_restart(tmp_path):
    filled(tmp_path, 1)
    again = DiskCache(tmp_path, ROOM)
    assert (again.state().entries, again.state().bytes) == (1, ENTRY)
    assert again.get(name(1)) == bytes([1]) * SIZE
    assert again.get(name(2)) is None
    assert (again.state().hits, again.state().misses) == (1, 1)


def test_folder_stays_within_its_bytes(tmp_path):
    cache = DiskCache(tmp_path, ROOM)
    for number in range(35):
        assert cache.put(name(number), bytes(SIZE))
        assert size_of(tmp_path) <= ROOM
    assert cache.state().bytes == size_of(tmp_path)
    assert cache.state().entries == len(names_in(tmp_path)) >= 8


def test_least_recently_used_goes_first(tmp_path):
    cache = filled(tmp_path, *range(10))
    cache.get(name(0))  # the oldest, but used now
    cache.put(name(99), bytes(SIZE))
    assert names_in(tmp_path) >= {0, 99, *range(3, 10)}
    assert 1 not in names_in(tmp_path)


def test_order_of_use_survives_a_restart(tmp_path):
    filled(tmp_path, *range(10)).get(name(0))
    DiskCache(tmp_path, ROOM).put(name(99), bytes(SIZE))
    assert 0 in names_in(tmp_path)
    assert 1 not in names_in(tmp_path)


def test_value_larger_than_the_room_is_not_kept(tmp_path):
    cache = filled(tmp_path, 1)
    assert not cache.put(name(2), bytes(ROOM + 1))
    assert names_in(tmp_path) == {1}


def test_value_is_replaced_without_counting_it_twice(tmp_path):
    cache = filled(tmp_path, 1, 1, 1)
    assert (cache.state().entries, cache.state().bytes) == (1, ENTRY)


def test_removed_entry_is_gone(tmp_path):
    cache = filled(tmp_path, 1)
    assert cache.has(name(1))
    cache.remove(name(1))
    cache.remove(name(1))
    assert not cache.has(name(1))
    assert (cache.state().entries, cache.state().bytes) == (0, 0)


def test_two_services_share_a_folder(tmp_path):
    first, second = DiskCache(tmp_path, ROOM), DiskCache(tmp_path, ROOM)
    first.put(name(1), b"from the first")
    assert second.get(name(1)) == b"from the first"
    for number in range(100):
        (first, second)[number % 2].put(name(number), bytes(SIZE))
    assert size_of(tmp_path) <= ROOM * 1.2


@pytest.mark.parametrize("seed", range(3))
def test_services_on_one_folder_exceed_its_room_by_a_twentieth_each_at_most(tmp_path, seed):
    services, room = 4, 100 * SIZE
    caches = [DiskCache(tmp_path, room) for _ in range(services)]
    rng = np.random.default_rng(seed)
    for number in range(300):
        # One writes most, so that the others' counts are old.
        cache = caches[rng.choice(services, p=[0.8, 0.12, 0.04, 0.04])]
        assert cache.put(name(number), bytes(rng.integers(SIZE // 2, SIZE)))
        assert size_of(tmp_path) <= room * (1 + services * COUNTED_AGAIN_SHARE)
    assert size_of(tmp_path) >= room / 2


def test_entry_is_never_read_half_written(tmp_path):
    """Two services write one entry again and again while others read it."""
    values = {bytes([number]) * 300_000 for number in range(4)}
    writers = [DiskCache(tmp_path, 10**9) for _ in range(2)]
    reader = DiskCache(tmp_path, 10**9)
    writers[0].put(name(1), min(values))
    done = threading.Event()

    def read():
        seen = set()
        while not done.is_set():
            seen.add(reader.get(name(1)))
        return seen

    with ThreadPoolExecutor(4) as pool:
        readings = [pool.submit(read) for _ in range(2)]
        writings = [
            pool.submit(lambda w=writer: [w.put(name(1), v) for _ in range(20) for v in values])
            for writer in writers
        ]
        assert all(all(writing.result()) for writing in writings)
        done.set()
        assert set().union(*(reading.result() for reading in readings)) <= values
    assert list(tmp_path.glob("*/*.part")) == []


def test_leftovers_of_a_killed_writer_are_removed_and_other_files_are_not(tmp_path):
    filled(tmp_path, 1)
    folder = next(tmp_path.glob("*/"))
    left, written = (folder / f"{name(number)}.embedding.{number}.part" for number in (7, 8))
    other = tmp_path / "notes.txt"
    for path in (left, written, other):
        path.write_bytes(b"x")
    with written.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # as a writer does that lives
        cache = DiskCache(tmp_path, ROOM)
        assert (left.exists(), written.exists(), other.exists()) == (False, True, True)
    assert cache.state().entries == 1


def test_leftovers_are_known_by_their_age_where_files_cannot_be_locked(tmp_path, monkeypatch):
    filled(tmp_path, 1)
    folder = next(tmp_path.glob("*/"))
    left, fresh = (folder / f"{name(number)}.embedding.{number}.part" for number in (7, 8))
    left.touch()
    fresh.touch()
    os.utime(left, (0, time.time() - FORGOTTEN_PART_S - 1))
    monkeypatch.setattr(
        "fcntl.flock", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOLCK, "No locks"))
    )
    cache = DiskCache(tmp_path, ROOM)
    assert (left.exists(), fresh.exists()) == (False, True)
    assert cache.put(name(2), b"2")
    assert cache.get(name(2)) == b"2"


def test_part_that_was_swept_before_its_lock_is_written_anew(tmp_path, monkeypatch):
    cache = filled(tmp_path, 1)
    lock, swept = fcntl.flock, []

    def sweep_first(file, operation):
        if not swept:
            swept.append(Path(file.name))
            swept[0].unlink()
        lock(file, operation)

    monkeypatch.setattr("fcntl.flock", sweep_first)
    assert cache.put(name(2), b"2")
    assert cache.get(name(2)) == b"2"
    assert len(swept) == 1


@pytest.mark.parametrize("fault", ["No space left on device", "Read-only file system"])
def test_folder_that_cannot_be_written_is_one_warning(tmp_path, monkeypatch, caplog, fault):
    cache = filled(tmp_path, 1)

    def fail(_path, _value):
        raise OSError(28, fault)

    with monkeypatch.context() as broken:
        broken.setattr("backend.embeddings.tiers.disk._write", fail)
        assert [cache.put(name(number), bytes(SIZE)) for number in (2, 3, 4)] == [False] * 3
    assert cache.get(name(1)) == bytes([1]) * SIZE
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert fault in record.getMessage()
    assert cache.put(name(2), bytes(SIZE))
    assert caplog.messages[1:] == [f"writing to the cache folder {tmp_path} works again"]


def test_disk_that_is_full_leaves_no_half_entry(tmp_path, monkeypatch):
    cache = filled(tmp_path, 1)
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "")))
    assert not cache.put(name(2), bytes(SIZE))
    assert list(tmp_path.glob("*/*.part")) == []
    assert size_of(tmp_path) == ENTRY


def test_folder_that_cannot_be_made_is_one_warning(tmp_path, caplog):
    (tmp_path / "file").touch()
    cache = DiskCache(tmp_path / "file" / "cache", ROOM)
    assert not cache.put(name(1), bytes(SIZE))
    assert cache.get(name(1)) is None
    assert not cache.has(name(1))
    cache.remove(name(1))
    assert [record.levelno for record in caplog.records].count(logging.WARNING) <= 2
    assert "Not a directory" in caplog.messages[0]
    assert cache.state().entries == 0


def test_folder_that_vanished_is_made_again(tmp_path):
    cache = filled(tmp_path / "cache", 1)
    for path in sorted((tmp_path / "cache").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (tmp_path / "cache").rmdir()
    assert cache.get(name(1)) is None
    assert cache.put(name(2), b"2")
    assert cache.get(name(2)) == b"2"


def test_entry_that_nobody_may_look_at_is_not_kept(tmp_path, monkeypatch):
    cache = filled(tmp_path, 1)
    monkeypatch.setattr(
        "pathlib.Path.stat", lambda *_, **__: (_ for _ in ()).throw(PermissionError(13, "no"))
    )
    assert not cache.has(name(1))


# What somebody else put there


def foreign(folder, kind, path):
    """Put something that is no entry in an entry's place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "link":
        (folder / "target").write_bytes(HEADER + b"x")
        path.symlink_to(folder / "target")
    elif kind == "dangling":
        path.symlink_to(folder / "nowhere")
    else:
        with path.open("wb") as file:
            file.write(HEADER)
            file.truncate(8 * 2**40)


@pytest.mark.parametrize("kind", ["fifo", "directory", "link", "dangling", "sparse"])
@pytest.mark.parametrize("suffix", [".embedding", f".embedding.{7:016x}.part"])
def test_what_is_no_entry_is_neither_read_nor_counted_nor_removed(tmp_path, kind, suffix):
    path = tmp_path / name(1)[:2] / f"{name(1)}{suffix}"
    try:
        foreign(tmp_path, kind, path)
    except OSError as error:
        pytest.skip(f"this file system has no such file: {error}")
    before = path.lstat()
    cache = DiskCache(tmp_path, ROOM)
    assert cache.get(name(1)) is None
    for number in range(2, 40):  # several times the room: the rest is removed to make room
        assert cache.put(name(number), bytes(SIZE))
    if suffix == ".embedding":
        assert not cache.put(name(1), b"x")
    cache.remove(name(1))
    assert os.path.lexists(path)
    assert path.lstat().st_mtime_ns == before.st_mtime_ns


def test_only_files_with_a_name_and_a_header_of_its_own_are_removed(tmp_path):
    """Whatever lies in a folder that somebody gave as the cache."""
    cache = filled(tmp_path, 1)
    folder = cache._path(name(1)).parent
    others = [
        folder / "mine.embedding",
        folder / f"{name(2)}.embedding.bak",
        folder / f"{name(3)[:-1]}.embedding",
        folder / f"{name(4)}.embedding",
        folder / "a.part",
        tmp_path / "photos.zip",
    ]
    for path in others:
        path.write_bytes(b"precious" * 20)
        os.utime(path, (0, 0))  # not used for longest
    cache = DiskCache(tmp_path, ROOM)
    for number in range(5, 60):
        cache.put(name(number), bytes(SIZE))
    assert [path.read_bytes() for path in others] == [b"precious" * 20] * len(others)


def test_folder_is_marked_and_a_link_in_the_markers_place_is_left_alone(tmp_path):
    DiskCache(tmp_path / "cache", ROOM)
    text = (tmp_path / "cache" / MARKER).read_text()
    assert text.startswith("Signature: 8a477f597d28d172789f06886806bc55\n")
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / MARKER).symlink_to(tmp_path / "elsewhere")
    DiskCache(linked, ROOM)
    assert not (tmp_path / "elsewhere").exists()


def test_entry_of_the_version_before_goes_when_room_is_needed(tmp_path):
    old = tmp_path / name(1)[:2] / f"{name(1)}.embedding"
    old.parent.mkdir()
    old.write_bytes(bytes.fromhex(name(1)) + bytes(SIZE))
    os.utime(old, (0, 0))
    cache = DiskCache(tmp_path, ROOM)
    for number in range(2, 20):
        cache.put(name(number), bytes(SIZE))
    assert not old.exists()


def test_value_larger_than_any_entry_is_not_written(tmp_path):
    class Huge(bytes):
        def __len__(self):
            return LARGEST_ENTRY

    assert not DiskCache(tmp_path, 10**12).put(name(1), Huge())
