import json
import os
import re
import signal
import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from processes import is_alive

from backend.label_studio.client import LabelStudio
from backend.label_studio.ml_backends import list_backends
from backend.label_studio.project_tasks import iterate_tasks

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
LAST_LINE = "Ctrl-C stops everything.\n"
TIMEOUT_S = 60
PICTURES = ["coins.png", *(f"scene_{seed}.png" for seed in (9, 13, 25, 44, 53))]


@pytest.fixture
def folder(label_studio_python, tmp_path):
    """A folder for the demo to start in, with Label Studio installed already."""
    (tmp_path / ".label-studio").mkdir()
    (tmp_path / ".label-studio" / "venv").symlink_to(label_studio_python.parents[1])
    return tmp_path


def test_demo_starts_stops_and_starts_again(folder):
    with _demo(folder) as demo:
        first = _said_until_ready(demo)
        assert "Test click through Label Studio: a mask of" in first
        assert "DEMO WEIGHTS" in first
        assert _project(folder, first) == PICTURES
        assert "already running" in _refusal_of_second(folder)
        children = _children(demo)
        demo.send_signal(signal.SIGINT)
        assert demo.wait(TIMEOUT_S) == 0
        assert len(children) == 2
        assert not any(map(is_alive, children))

    with _demo(folder) as demo:
        _said_until_ready(demo)
        demo.send_signal(signal.SIGTERM)
        assert demo.wait(TIMEOUT_S) == 0

    with _demo(folder) as demo:
        again = _said_until_ready(demo)
        assert _login(again) == _login(first)
        assert _project(folder, again) == PICTURES
        label_studio, backend = _children(demo)
        os.kill(label_studio, signal.SIGKILL)
        assert demo.wait(TIMEOUT_S) == 1
        assert "Label Studio ended with exit code -9" in demo.stderr.read()
        assert not is_alive(backend)


@contextmanager
def _demo(folder):
    command = [sys.executable, "-m", "backend", "demo"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MOBILESAM_CHECKPOINT": "demo"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=folder, env=environment, **pipes) as demo:
        try:
            yield demo
        finally:
            demo.terminate()


def _refusal_of_second(folder):
    with _demo(folder) as second:
        assert second.wait(TIMEOUT_S) == 1
        return second.stderr.read()


def _said_until_ready(demo):
    said = ""
    while LAST_LINE not in said:
        line = demo.stdout.readline()
        assert line, f"{said}{demo.stderr.read()}"
        said += line
    return said


def _login(said):
    return re.findall(r"^(?:Login|Password) +(.+)$", said, re.MULTILINE)


def _project(folder, said):
    """The pictures' names in the project that was announced, whose backend is interactive."""
    url, project_id = re.search(r"(http://\S+)/projects/(\d+)/data", said).groups()
    credentials = json.loads((folder / ".label-studio/data/credentials.json").read_text())
    with closing(LabelStudio(url, credentials["token"])) as server:
        [backend] = list_backends(server, int(project_id))
        assert backend.is_interactive
        assert backend.is_connected
        tasks = iterate_tasks(server, int(project_id))
        return [task["data"]["image"].partition("-")[2] for task in tasks]


def _children(process):
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(pid) for pid in listed.split()]
