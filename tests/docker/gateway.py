"""A real nginx, and a backend behind it that answers what a test sets."""

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from werkzeug.serving import make_server

DEADLINE_S = 20


class Replica:
    """A backend that answers what a test sets, and counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bytes]] = []
        self.status = "200 OK"
        self.headers: list[dict[str, str]] = []
        self.server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        self.thread = threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.01}
        )
        self.thread.start()

    def _answer(self, environ, start_response):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        self.asked.append((environ["REQUEST_METHOD"], environ["PATH_INFO"], body))
        self.headers.append({name: environ.get(name, "") for name in ("HTTP_AUTHORIZATION",)})
        start_response(self.status, [("Content-Type", "application/json")])
        return [b"{}"]

    def stop(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@contextmanager
def running_nginx(folder: Path, config: str, port: int) -> Iterator[None]:
    """Run nginx until it listens on a loopback port and as long as the block lasts.

    Args:
        folder: for all that nginx writes, and its config.
        config: a whole one, but for the folders of bodies and answers.
        port: that the config listens on.
    """
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if nginx is None:
        pytest.fail("nginx is not installed; `make test` installs it")
    folders = "".join(
        f"{kind}_temp_path {folder}; "
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = config.replace("http {", f"http {{ {folders}", 1)
    (folder / "nginx.conf").write_text(f"pid {folder}/nginx.pid;\nuser root;\n{config}")
    command = [nginx, "-p", folder, "-c", folder / "nginx.conf", "-g", "daemon off;"]
    command += ["-e", folder / "error.log"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + DEADLINE_S
    try:
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < end
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.communicate(timeout=DEADLINE_S)
