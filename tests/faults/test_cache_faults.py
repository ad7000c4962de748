"""Disk and Redis fail in every way: the service gets slower, and its masks stay the same."""

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from replica import Replica
from tcp_proxy import TcpProxy
from waiting import wait_until

from backend.images.fetch import ImageLoader
from backend.settings.settings import Settings
from benchmarks.service_load import make_tasks

SIZE_HW = (300, 400)
DISK_MB = 1  # of the disk that gets full; an embedding of the demo weights has 0.13
BEFORE, MEANWHILE, AFTERWARDS = range(3)  # tasks


@pytest.fixture(scope="module")
def tasks(demo_predictor):
    return make_tasks(demo_predictor, 3, SIZE_HW)


@pytest.fixture
def replica(monkeypatch, demo_predictor, tasks):
    """Make services that share the model and count their encodes."""
    files = {f"{task.number}.jpg": task.file for task in tasks}
    monkeypatch.setattr(ImageLoader, "fetch", lambda _loader, uri, **_named: files[uri])
    monkeypatch.setattr("backend.embeddings.tiers.redis.LOOK_INTERVAL_S", 0.05)
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(
            closing(Replica(CountingPredictor(demo_predictor), Settings(**settings)))
        )


class CountingPredictor:
    """A predictor that counts what it embeds."""

    def __init__(self, predictor):
        self._predictor = predictor
        self.encodes = 0

    def __getattr__(self, name):
        return getattr(self._predictor, name)

    def embed(self, image):
        self.encodes += 1
        return self._predictor.embed(image)


def masks_of(service, task):
    """A click on each object of a task, and one that takes away."""
    photo = f"{task.number}.jpg"
    masks = [service.click(photo, SIZE_HW, xy=xy) for xy in task.points_xy]
    x, y = task.points_xy[-1]
    return [*masks, service.click(photo, SIZE_HW, xy=(x + 15, y), is_positive=False)]


@pytest.fixture
def assert_right(replica, tasks):
    """Compare a service's masks with those of one without these tiers."""
    alone = replica()

    def check(service, number):
        masks = zip(masks_of(service, tasks[number]), masks_of(alone, tasks[number]), strict=True)
        for index, (mask, right) in enumerate(masks):
            np.testing.assert_array_equal(mask, right, err_msg=f"task {number}, click {index}")

    return check


# The disk tier


@pytest.fixture
def mounted(tmp_path) -> Iterator[Path]:
    """A file system of 1 MB."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", folder]
    if os.geteuid() != 0 or subprocess.run(["mount", *options], check=False).returncode:
        pytest.skip("only root may mount a small file system")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def full(folder: Path):
    """Take all the room that is left, to the last byte."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    assert os.statvfs(folder).f_bavail == 0
    yield
    filler.unlink()


@contextmanager
def read_only(folder: Path):
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    yield
    subprocess.run(["mount", "-o", "remount,rw", folder], check=True)


@contextmanager
def vanished(folder: Path):
    shutil.rmtree(folder / "cache")
    yield


@contextmanager
def a_file_in_its_place(folder: Path):
    shutil.rmtree(folder / "cache")
    (folder / "cache").touch()
    yield
    (folder / "cache").unlink()


def failing(code: int):
    """Whatever is done with a file of the folder fails; root cannot be refused otherwise."""

    @contextmanager
    def fail(folder: Path):
        real_open, real_stat = Path.open, Path.stat

        def refuse(real):
            def refusing(path, *arguments, **named):
                if folder in path.parents:
                    raise OSError(code, os.strerror(code))
                return real(path, *arguments, **named)

            return refusing

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Path, "open", refuse(real_open))
            patch.setattr(Path, "stat", refuse(real_stat))
            yield

    return fail


@pytest.mark.parametrize(
    ("fault", "needs_mount"),
    [
        pytest.param(full, True, id="disk-full"),
        pytest.param(read_only, True, id="read-only"),
        pytest.param(vanished, False, id="vanished"),
        pytest.param(a_file_in_its_place, False, id="a-file-in-its-place"),
        pytest.param(failing(errno.EACCES), False, id="permission-removed"),
        pytest.param(failing(errno.EIO), False, id="input-output-error"),
        pytest.param(failing(errno.ENOSPC), False, id="disk-full-simulated"),
        pytest.param(failing(errno.ESTALE), False, id="network-folder-gone"),
    ],
)
def test_masks_stay_right_while_the_disk_fails(
    fault, needs_mount, replica, tasks, assert_right, request, tmp_path
):
    folder = request.getfixturevalue("mounted") if needs_mount else tmp_path
    settings = {"cache_dir": str(folder / "cache")}
    running = replica(**settings)
    assert_right(running, BEFORE)
    wait_until(lambda: running.tier("disk")["entries"] == 1)
    with fault(folder):
        assert_right(running, BEFORE)
        assert_right(running, MEANWHILE)
        if fault is not a_file_in_its_place:  # the settings refuse that
            started_meanwhile = replica(**settings)
            assert_right(started_meanwhile, BEFORE)
            assert_right(started_meanwhile, MEANWHILE)
    assert_right(running, AFTERWARDS)
    wait_until(lambda: kept(replica(**settings), tasks[AFTERWARDS]))
    later = replica(**settings)
    assert_right(later, AFTERWARDS)
    assert later.predictor.encodes == 0
    assert list(folder.rglob("*.part")) == []


def kept(service, task) -> bool:
    """Whether the disk holds a task's embedding."""
    service.click(f"{task.number}.jpg", SIZE_HW, xy=task.points_xy[0])
    return service.predictor.encodes == 0


# The Redis tier


@contextmanager
def killed(server, _proxy):
    server.kill()
    yield
    server.start()


@contextmanager
def hanging(server, _proxy):
    server.hang()
    yield
    server.go_on()


@contextmanager
def too_small(server, _proxy):
    with server.client() as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1mb")
        yield
        client.config_set("maxmemory", "0")


@contextmanager
def read_only_replica(server, _proxy):
    with server.client() as client:
        client.replicaof("127.0.0.1", "9")
        yield
        client.replicaof("NO", "ONE")


@contextmanager
def late(_server, proxy):
    proxy.delay(0.3)
    yield
    proxy.flow()


@contextmanager
def dripping(_server, proxy):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("backend.embeddings.tiers.redis.WHOLE_ANSWER_S", 0.5)
        proxy.drip()
        yield
        proxy.flow()


def holding(change):
    """Every entry is changed, and those that come meanwhile as well."""

    @contextmanager
    def hold(server, _proxy):
        with server.client() as client:
            entries = {key: client.get(key) for key in client.keys()}  # noqa: SIM118 - not a dict
            values = list(entries.values())
            for number, (key, value) in enumerate(entries.items()):
                change(client, key, value, values[number - 1])
            yield

    return hold


def changed(damage):
    return holding(lambda client, key, value, other: client.set(key, damage(value, other)))


def replaced_by_a_list(client, key, _value, _other):
    client.delete(key)
    client.rpush(key, b"a", b"b")


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(killed, id="killed"),
        pytest.param(hanging, id="hanging"),
        pytest.param(too_small, id="full"),
        pytest.param(read_only_replica, id="read-only"),
        pytest.param(late, id="late"),
        pytest.param(dripping, id="drop-by-drop"),
        pytest.param(changed(lambda *_: b""), id="empty-entries"),
        pytest.param(changed(lambda *_: os.urandom(100_000)), id="random-entries"),
        pytest.param(changed(lambda value, _: value[:-1]), id="truncated-entries"),
        pytest.param(changed(lambda value, _: value + b"x"), id="longer-entries"),
        pytest.param(
            changed(lambda value, _: value[:-9] + bytes([value[-9] ^ 1]) + value[-8:]),
            id="a-bit-flipped",
        ),
        pytest.param(changed(lambda _, other: other), id="entries-exchanged"),
        pytest.param(holding(replaced_by_a_list), id="lists-in-place-of-entries"),
    ],
)
def test_masks_stay_right_while_redis_fails(fault, replica, tasks, assert_right, redis_process):
    photo, (x, y) = f"{tasks[BEFORE].number}.jpg", tasks[BEFORE].points_xy[0]
    clicked = (BEFORE, MEANWHILE)
    clicks = sum(len(tasks[number].points_xy) + 1 for number in clicked)
    # An embedding for each image, logits for each click, and the one last object of all.
    notes = len(clicked) + clicks + 1
    with TcpProxy(redis_process.port) as proxy:
        running = replica(redis_url=proxy.url)
        for number in clicked:
            assert_right(running, number)
        with redis_process.client() as client:
            wait_until(lambda: client.dbsize() == notes)
        with fault(redis_process, proxy):
            started_meanwhile = replica(redis_url=proxy.url)
            assert_right(started_meanwhile, BEFORE)
            assert_right(running, AFTERWARDS)
        wait_until(lambda: running.tier("redis")["entries"] is not None)
        running.click(photo, SIZE_HW, xy=(x, y))
        other = replica(redis_url=proxy.url)
        # It finds the object that the other service segmented; without it the click is refused.
        assert other.click(photo, SIZE_HW, xy=(x + 15, y), is_positive=False).any()
