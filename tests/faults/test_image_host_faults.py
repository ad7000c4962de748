"""Label Studio or an image host fails: named in time, nobody else is held, over by itself."""

import itertools
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

import pytest
from fake_label_studio import FakeLabelStudio, Host, error
from service_process import running_service

from benchmarks import service_load

TIMEOUT_S = 4.0  # MOBILESAM_FETCH_TIMEOUT_S
# Of a click that meets the fault: the tests assert a bound because there is one to keep.
DEADLINE_S = TIMEOUT_S + 8
CROWD = 12  # annotators who click on what cannot be had, at once
SIZE_HW = (120, 160)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"


@pytest.fixture(scope="module")
def tasks(demo_predictor):
    return service_load.make_tasks(demo_predictor, 3, SIZE_HW)


@pytest.fixture(scope="module")
def label_studio():
    with FakeLabelStudio().running() as server:
        yield server


@pytest.fixture(scope="module")
def service(label_studio, tmp_path_factory):
    with running_service(
        tmp_path_factory.mktemp("service"),
        LABEL_STUDIO_URL=label_studio.url,
        LABEL_STUDIO_API_KEY=label_studio.tokens.personal,
        MOBILESAM_FETCH_TIMEOUT_S=str(TIMEOUT_S),
        MOBILESAM_PREFETCH_TASKS="0",
    ) as (_, url):
        yield url


@pytest.fixture
def over():
    """Ends answers that would never end."""
    event = threading.Event()
    yield event
    event.set()


def drips(handler, over):
    with suppress(OSError):
        handler.wfile.write(HEAD)
        while not over.wait(0.1):
            handler.wfile.write(b"a")


def says_nothing(_handler, over):
    over.wait(60)


def cuts(handler, _over):
    handler.wfile.write(HEAD + b"abc")


def resets(handler, _over):
    handler.wfile.write(HEAD)
    handler.wfile.flush()
    linger = struct.pack("ii", 1, 0)  # a reset in place of an end
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    handler.connection.close()


FAULTS = [
    pytest.param(drips, "did not answer within 4 s", id="byte-by-byte"),
    pytest.param(says_nothing, "did not answer within 4 s", id="silent"),
    pytest.param(cuts, "cut the connection", id="cut-in-the-middle"),
    pytest.param(resets, "cut the connection", id="reset-in-the-middle"),
    pytest.param(401, "401", id="401"),
    pytest.param(403, "403", id="403"),
    pytest.param(404, "404", id="404"),
    pytest.param(500, "500", id="500"),
    pytest.param(503, "503", id="503"),
]


NUMBERS = itertools.count(1000, 10)


def numbered(tasks, first):
    """The same pictures as other tasks and other files, which the service has never seen."""
    return [
        replace(task, number=number, file=task.file + number.to_bytes(4))  # behind the JPEG's end
        for number, task in enumerate(tasks, first)
    ]


def timed(url, images, task):
    started = time.monotonic()
    click = service_load.click(url, images, task, 0)
    return click, time.monotonic() - started


@pytest.mark.parametrize("place", ["image-host", "label-studio"])
@pytest.mark.parametrize(("fault", "words"), FAULTS)
def test_fault_of_a_host_is_named_in_time_and_holds_nobody_else(
    fault, words, place, service, label_studio, tasks, over
):
    known, unseen, broken = numbered(tasks, next(NUMBERS))
    answer = (
        error(fault, "down") if isinstance(fault, int) else lambda handler: fault(handler, over)
    )
    with Host().running() as bad_host, service_load.image_host([known, unseen]) as good:
        if place == "label-studio":
            pages, path, images = label_studio.pages, "/data/upload", "/data/upload"
        else:
            pages, path, images = bad_host.pages, "", bad_host.url
        pages[f"{path}/{broken.number}.jpg"] = answer
        assert service_load.click(service, good, known, 0).fault() == ""
        with ThreadPoolExecutor(CROWD) as crowd:
            failing = [crowd.submit(timed, service, images, broken) for _ in range(CROWD)]
            others = [
                service_load.click(service, good, task, 0).fault()
                for task in (known, unseen, known, unseen)  # warm and first clicks
            ]
            if fault in (drips, says_nothing):
                assert not any(each.done() for each in failing), "the others were held"
            met = [each.result() for each in failing]
        assert others == [""] * 4
        for click, seconds in met:
            assert click.response.status_code == 422
            assert words in click.response.reason
            assert click.response.json()["error"]["code"] == "image_unreachable"
            assert seconds < DEADLINE_S
        pages[f"{path}/{broken.number}.jpg"] = broken.file  # it works again
        assert service_load.click(service, images, broken, 0).fault() == ""


def test_host_that_was_down_is_used_when_it_is_back(service, tasks):
    task = replace(tasks[0], number=20_000)
    with Host().running() as host:
        url, port = host.url, host.server.server_port
    down = service_load.click(service, url, task, 0)
    assert down.response.status_code == 422
    assert down.response.reason.endswith("refused the connection")
    again = Host(port=port)
    again.pages[f"/{task.number}.jpg"] = task.file
    with again.running():
        assert service_load.click(service, url, task, 0).fault() == ""


def test_revoked_access_token_is_renewed_without_a_restart(service, label_studio, tasks):
    first, second = numbered(tasks[:2], 21_000)
    for task in (first, second):
        label_studio.pages[f"/data/upload/{task.number}.jpg"] = task.file
    assert service_load.click(service, "/data/upload", first, 0).fault() == ""
    exchanges = label_studio.exchanges
    label_studio.tokens.revoked.update(label_studio.tokens.given)
    assert service_load.click(service, "/data/upload", second, 0).fault() == ""
    assert label_studio.exchanges == exchanges + 1
