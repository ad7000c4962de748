"""The nginx block of docs/running.md, in a real nginx with a certificate made for the test."""

import re
import subprocess
from pathlib import Path

import pytest
import requests
from gateway import DEADLINE_S, Replica, running_nginx

from backend.commands.demo.child_process import free_port

PAGE = (Path(__file__).parents[2] / "docs" / "running.md").read_text()


@pytest.fixture
def replica():
    replica = Replica()
    yield replica
    replica.stop()


@pytest.fixture
def proxy(replica, tmp_path):
    """Address of nginx with the documented server; the ports differ."""
    certificate = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    certificate += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    certificate += ["-keyout", tmp_path / "masks.key", "-out", tmp_path / "masks.pem"]
    subprocess.run(certificate, check=True, capture_output=True)
    [block] = re.findall(r"```nginx\n(.*?)```", PAGE, re.DOTALL)
    port = free_port(29443)
    block = block.replace("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;")
    block = block.replace("127.0.0.1:9090", f"127.0.0.1:{replica.server.port}")
    config = f"events {{}}\nhttp {{ access_log off;\n{block} }}"
    with running_nginx(tmp_path, config, port):
        yield f"https://localhost:{port}"


def test_documented_proxy_passes_a_long_body_and_the_status_lines_words(proxy, replica, tmp_path):
    replica.status = "422 No Image tag in the labeling config"
    body = b"x" * 3_000_000
    answer = requests.post(
        f"{proxy}/predict", data=body, verify=str(tmp_path / "masks.pem"), timeout=DEADLINE_S
    )
    assert (answer.status_code, answer.reason) == (422, "No Image tag in the labeling config")
    assert replica.asked == [("POST", "/predict", body)]
