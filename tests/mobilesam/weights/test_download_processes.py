"""Several processes that download the same file."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from weights_server import PAYLOAD, THIRD, Answer, Server

from mobilesam.weights import download as module
from mobilesam.weights.download import WeightsFile, download

ONE_PROCESS = """
import sys
from pathlib import Path
from mobilesam.weights.download import WeightsFile, download
url, size_bytes, sha256, to = sys.argv[1:]
download(WeightsFile("mobile_sam.pt", url, int(size_bytes), sha256), Path(to))
"""


@pytest.fixture
def start_process(file: WeightsFile, target: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts `download(file, target)` in a process of its own."""
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        arguments = [file.url, str(file.size_bytes), file.sha256, str(target)]
        process = subprocess.Popen(
            [sys.executable, "-c", ONE_PROCESS, *arguments],
            cwd=Path(module.__file__).parents[2],
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_processes_that_download_at_once_share_one_transfer(
    server: Server, target: Path, start_process: Callable[[], subprocess.Popen[str]]
):
    both_run = threading.Event()
    server.answers = [Answer(send_bytes=THIRD, until=both_run), Answer()]
    first = start_process()
    assert server.standing_still.wait(30)
    second = start_process()
    assert "waiting for it" in second.stderr.readline()
    both_run.set()
    assert first.communicate(timeout=30) == (None, "")
    assert second.communicate(timeout=30) == (None, "")
    assert (first.returncode, second.returncode) == (0, 0)
    assert target.read_bytes() == PAYLOAD
    assert len(server.asked) == 1


def test_download_starts_again_after_a_process_was_killed(
    server: Server,
    file: WeightsFile,
    target: Path,
    start_process: Callable[[], subprocess.Popen[str]],
):
    end = threading.Event()
    server.answers = [Answer(send_bytes=THIRD, until=end), Answer()]
    process = start_process()
    assert server.standing_still.wait(30)
    process.kill()
    process.wait()
    end.set()
    assert not target.exists()
    download(file, target)
    assert target.read_bytes() == PAYLOAD
