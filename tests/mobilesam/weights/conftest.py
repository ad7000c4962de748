"""Fixtures of the download's tests."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from weights_server import Server, weights_at

from mobilesam.weights.download import WeightsFile


@pytest.fixture(autouse=True)
def _no_waiting_and_no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pooch.core.time.sleep", lambda _: None)
    for scheme in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{scheme}_proxy", raising=False)
        monkeypatch.delenv(f"{scheme.upper()}_PROXY", raising=False)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def file(server: Server) -> WeightsFile:
    return weights_at(server.url)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "mobile_sam.pt"


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that stays taken and refuses every connection."""
    with socket.socket() as never_listening:
        never_listening.bind(("127.0.0.1", 0))
        yield never_listening.getsockname()[1]
