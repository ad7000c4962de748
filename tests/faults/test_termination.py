"""SIGTERM under load, at the start, with a request that never ends; two services on a folder."""

import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from urllib.parse import urlsplit

import numpy as np
import pytest
import requests
from service_process import Annotators, running_service, seconds_to_exit

from backend.embeddings.tiers.disk import HEADER, DiskCache
from benchmarks import service_load
from benchmarks.process_watch import children
from mobilesam.embedding_bytes import unpack_features

EXIT_WITHIN_S = 10  # the promise
SIZE_HW = (300, 400)
SMALL_HW = (60, 80)
SMALLEST_ROOM_MB = 16


@pytest.fixture(scope="module")
def tasks(demo_predictor):
    return service_load.make_tasks(demo_predictor, 12, SIZE_HW)


def read_entries(folder):
    """Every embedding of a cache folder, which raises if one is damaged; none is half written."""
    paths = list(folder.rglob("*.embedding"))
    for path in paths:
        assert path.read_bytes().startswith(HEADER)
        content = path.read_bytes().removeprefix(HEADER)
        assert content[:32].hex() == path.stem
        unpack_features(content[32:])
    return paths


def takes_connections(url):
    """Whether somebody listens there; whoever is let in is answered."""
    try:
        requests.get(f"{url}/health", timeout=EXIT_WITHIN_S)
    except requests.ConnectionError as error:
        if "refused" not in str(error):
            raise
        return False
    return True


def is_free(url, within_s=10.0):
    """Whether the port is given back; the last threads of a process end after its first one."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind(("127.0.0.1", urlsplit(url).port))
                return True
        time.sleep(0.05)
    return False


def test_sigterm_under_load_ends_what_runs_and_takes_nothing_new(tasks, tmp_path):
    gated, warm = tasks[:8], tasks[8:]
    asked, answer_now = threading.Event(), threading.Event()
    folder = tmp_path / "cache"
    with (
        service_load.image_host(warm) as warm_images,
        service_load.image_host(gated, asked, answer_now) as gated_images,
        running_service(tmp_path, MOBILESAM_CACHE_DIR=str(folder)) as (backend, url),
        ThreadPoolExecutor(len(gated)) as pool,
    ):
        annotators = Annotators(url, warm_images, warm, at_once=4)
        annotators.wait_for(12, within_s=60)
        running = [
            pool.submit(service_load.click, url, gated_images, task, 0) for task in gated
        ]  # they wait for their images
        assert asked.wait(30)
        annotators.wait_for(12, within_s=60)  # by now all of them are in the service
        os.kill(backend.pid, signal.SIGTERM)
        told = time.monotonic()
        while takes_connections(url):
            assert time.monotonic() - told < EXIT_WITHIN_S / 2
        answer_now.set()
        assert [click.result().fault() for click in running] == [""] * len(gated)
        seconds_to_exit(backend.pid, EXIT_WITHIN_S - (time.monotonic() - told))
        print(f"ended {time.monotonic() - told:.1f} s after SIGTERM")
        faults = annotators.stop()
        assert set(faults) == {""}
        assert annotators.refused > 0
    assert "Traceback" not in (tmp_path / "log").read_text()
    assert len(read_entries(folder)) >= len(warm)


def test_sigterm_does_not_wait_for_an_image_that_never_comes(tasks, tmp_path):
    asked, answer_now = threading.Event(), threading.Event()
    with (
        service_load.image_host(tasks[:1], asked, answer_now) as images,
        running_service(tmp_path, MOBILESAM_FETCH_TIMEOUT_S="100") as (backend, url),
        ThreadPoolExecutor(1) as pool,
    ):
        running = pool.submit(service_load.click, url, images, tasks[0], 0)
        assert asked.wait(30)
        (worker,) = children(backend.pid)
        os.kill(backend.pid, signal.SIGTERM)
        print(f"ended {seconds_to_exit(backend.pid, EXIT_WITHIN_S):.1f} s after SIGTERM")
        seconds_to_exit(worker, within_s=10)
        answer_now.set()
        assert isinstance(running.exception(30), requests.ConnectionError)


@pytest.mark.parametrize(
    "after_line",
    [
        pytest.param("", id="imports"),
        pytest.param("Listening at", id="fork"),
        pytest.param("Booting worker", id="model-load"),
    ],
)
def test_sigterm_during_the_start_ends_it(after_line, tmp_path):
    log = tmp_path / "log"
    backend, url = service_load.service("demo", log)
    with backend:
        time.sleep(1)  # Python is there, torch is not
        end = time.monotonic() + service_load.START_TIMEOUT_S
        while after_line not in log.read_text():
            assert time.monotonic() < end
            time.sleep(0.01)
        workers = children(backend.pid)
        os.kill(backend.pid, signal.SIGTERM)
        print(f"ended {seconds_to_exit(backend.pid, EXIT_WITHIN_S):.1f} s after SIGTERM")
        for worker in workers:
            seconds_to_exit(worker, within_s=10)
    assert is_free(url)
    assert "Traceback" not in log.read_text()


def fill(folder, predictor):
    """Put entries of earlier days into a cache folder until there is hardly any room left."""
    cache = DiskCache(folder, SMALLEST_ROOM_MB * 2**20)
    packed = predictor.pack(predictor.embed(np.zeros((60, 80, 3), np.uint8)))
    for number in range(cache.max_bytes // (len(packed) + 32) - 2):
        name = f"{number:064x}"
        cache.put(name, bytes.fromhex(name) + packed)
        os.utime(cache._path(name), (number, number))
    return {path.stem for path in read_entries(folder)}


def test_two_services_on_one_full_cache_folder_are_both_right(demo_predictor, tmp_path):
    folder = tmp_path / "cache"
    earlier = fill(folder, demo_predictor)
    tasks = service_load.make_tasks(demo_predictor, 30, SMALL_HW, first=1000)
    settings = {
        "MOBILESAM_CACHE_DIR": str(folder),
        "MOBILESAM_CACHE_DIR_MB": str(SMALLEST_ROOM_MB),
    }
    (tmp_path / "other").mkdir()
    with (
        service_load.image_host(tasks) as images,
        running_service(tmp_path, **settings) as (_, first),
        running_service(tmp_path / "other", **settings) as (_, second),
        ThreadPoolExecutor(4) as pool,
    ):
        both = [(url, task) for task in tasks for url in (first, second)]
        again = [(url, task) for task in tasks for url in (second, first)]
        clicks = list(
            pool.map(lambda each: service_load.click(each[0], images, each[1], 0), both + again)
        )
        assert {click.fault() for click in clicks} == {""}
        tiers = [
            requests.get(f"{url}/health", timeout=10).json()["cache"] for url in (first, second)
        ]
    assert sum(tier["disk"]["hits"] for tier in tiers) > 0  # what the other one had written
    entries = read_entries(folder)
    assert {path.stem for path in entries} - earlier
    assert earlier - {path.stem for path in entries}  # those had to go
    room = SMALLEST_ROOM_MB * 2**20
    assert 0.5 * room < sum(path.stat().st_size for path in entries) < 1.1 * room
    assert list(folder.rglob("*.part")) == []
