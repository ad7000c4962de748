"""The nginx block of docs/running.md, in a real nginx with a certificate made for the test."""

import re
import shutil
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest
import requests
from test_scaled_service import DEADLINE_S, Replica

from backend.child_process import free_port

PAGE = (Path(__file__).parents[2] / "docs" / "running.md").read_text()


@pytest.fixture
def replica():
    replica = Replica()
    yield replica
    replica.stop()


@pytest.fixture
def proxy(replica, tmp_path):
    """Address of nginx with the documented server; the ports differ."""
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if nginx is None:
        pytest.fail("nginx is not installed; `make test` installs it")
    certificate = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    certificate += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    certificate += ["-keyout", tmp_path / "masks.key", "-out", tmp_path / "masks.pem"]
    subprocess.run(certificate, check=True, capture_output=True)
    [block] = re.findall(r"```nginx\n(.*?)```", PAGE, re.DOTALL)
    port = free_port(29443)
    block = block.replace("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;")
    block = block.replace("127.0.0.1:9090", f"127.0.0.1:{replica.server.port}")
    folders = "".join(
        f"{kind}_temp_path {tmp_path}; "
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = f"pid {tmp_path}/nginx.pid;\nuser root;\nevents {{}}\n"
    (tmp_path / "nginx.conf").write_text(f"{config}http {{ access_log off; {folders}\n{block} }}")
    command = [nginx, "-p", tmp_path, "-c", tmp_path / "nginx.conf", "-g", "daemon off;"]
    process = subprocess.Popen(
        [*command, "-e", tmp_path / "error.log"], stderr=subprocess.PIPE, text=True
    )
    end = time.monotonic() + DEADLINE_S
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            break
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.05)
    yield f"https://localhost:{port}"
    process.terminate()
    process.communicate(timeout=DEADLINE_S)


def test_documented_proxy_passes_a_long_body_and_the_status_lines_words(proxy, replica, tmp_path):
    replica.status = "422 No Image tag in the labeling config"
    body = b"x" * 3_000_000
    answer = requests.post(
        f"{proxy}/predict", data=body, verify=str(tmp_path / "masks.pem"), timeout=DEADLINE_S
    )
    assert (answer.status_code, answer.reason) == (422, "No Image tag in the labeling config")
    assert replica.asked == [("POST", "/predict", body)]
