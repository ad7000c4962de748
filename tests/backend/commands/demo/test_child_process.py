import os
import socket
import subprocess
import sys

import pytest
from processes import is_alive
from waiting import wait_until

from backend.commands.demo import child_process
from backend.commands.demo.child_process import ChildProcess, free_port
from backend.core.errors import BackendError

SERVE = """
from http.server import HTTPServer, SimpleHTTPRequestHandler
HTTPServer(("127.0.0.1", {port}), SimpleHTTPRequestHandler).serve_forever()
"""
SLEEP = "import time; print('awake', flush=True); time.sleep(600)"
PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"


@pytest.fixture
def child(tmp_path):
    """Make a child that runs a line of Python."""

    def make(code):
        command = [sys.executable, "-c", code]
        return ChildProcess("The child", command, environment=os.environ, log=tmp_path / "log")

    return make


def test_free_port_passes_over_one_that_is_taken():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port(port) > port


def test_free_port_is_given_to_no_other_process_while_this_one_may_start_a_server_on_it():
    port = free_port(28180)
    ask = f"from backend.commands.demo.child_process import free_port; print(free_port({port}))"
    others = [
        subprocess.Popen([sys.executable, "-c", f"{ask}; input()"], **PIPES) for _ in range(2)
    ]
    given = {int(other.stdout.readline()) for other in others}
    assert len(given | {port}) == 3
    for other in others:
        other.communicate("\n")
    assert free_port(min(given)) == min(given)


def test_free_port_is_given_again_to_who_has_it():
    assert free_port(free_port(28280)) == free_port(28280)


def test_answer_of_another_server_on_the_port_is_not_the_childs(child):
    port = free_port(28380)
    with child(SERVE.format(port=port)) as other:
        url = f"http://127.0.0.1:{port}/"
        other.wait_until_healthy(url, timeout_s=60)
        late = ChildProcess(
            "The late one",
            [sys.executable, "-c", SERVE.format(port=port)],
            environment=os.environ,
            log=other.log.with_name("late"),
        )
        with late:
            late._process.wait()
            with pytest.raises(BackendError, match="The late one ended"):
                late.wait_until_healthy(url, timeout_s=60)


def test_child_is_healthy_once_it_answers(child):
    port = free_port(28080)
    with child(SERVE.format(port=port)) as process:
        process.wait_until_healthy(f"http://127.0.0.1:{port}/", timeout_s=60)
        process.check_running()


@pytest.mark.parametrize(
    "code", [pytest.param(SLEEP, id="polite"), pytest.param(STUBBORN, id="stubborn")]
)
def test_child_is_ended_with_the_block(child, code, monkeypatch):
    monkeypatch.setattr(child_process, "GRACE_S", 0.5)
    with child(code) as process:
        _wait_for_line(process.log)
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


def test_what_a_child_left_running_is_ended_with_it(child):
    leaves = f"""
import subprocess, sys
left = subprocess.Popen([sys.executable, "-c", {SLEEP!r}], stdout=subprocess.DEVNULL)
print(left.pid, flush=True)
left.wait()
"""
    with child(leaves) as process:
        _wait_for_line(process.log)
        left = int(process.log.read_text())
        assert is_alive(left)
    wait_until(lambda: not is_alive(left))


def test_child_that_ended_is_reported_with_its_log(child):
    with child("raise SystemExit('no such weights')") as process:
        with pytest.raises(BackendError, match="The child ended with exit code 1") as caught:
            process.wait_until_healthy("http://127.0.0.1:9/", timeout_s=60)
        assert caught.value.remedy.endswith("no such weights")


def test_child_that_does_not_answer_is_given_up(child):
    with child(SLEEP) as process:
        _wait_for_line(process.log)
        with pytest.raises(BackendError, match=r"did not answer http://127\.0\.0\.1:9/ within 0 s"):
            process.wait_until_healthy("http://127.0.0.1:9/", timeout_s=0)


def _wait_for_line(log):
    while not log.read_bytes():
        pass
