"""A program that is started here, watched, and ended so that nothing of it stays behind."""

import atexit
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Self

from backend.core.errors import BackendError
from backend.core.units import MEGABYTE
from backend.transport.addresses import NetworkPolicy
from backend.transport.transport import BodyTooLargeError, Deadline, TransportError, exchange

POLL_INTERVAL_S = 0.2
HEALTH_TIMEOUT_S = 5.0
GRACE_S = 15.0  # from the polite signal to the one that cannot be refused
TAIL_LINES = 25


# Ports that `free_port` gave, each with a socket that tells so to the other processes that ask it.
_claims: dict[int, socket.socket] = {}


def free_port(preferred: int) -> int:
    """The first port from `preferred` on that nothing on this machine listens on, or soon will.

    A server takes a while until it listens. What was given here is therefore given to no other
    process before this one ends, so that two demos or test runs never start servers on one port.

    Raises:
        BackendError: the next hundred ports are taken too.
    """
    for port in range(preferred, min(preferred + 100, 65536)):
        if _claim(port) and _is_free(port):
            return port
    raise BackendError(
        f"no free port from {preferred} on", remedy="end the programs that hold these ports"
    )


def _claim(port: int) -> bool:
    if port in _claims:
        return True
    # A name that Linux keeps beside the ports, without a file, as long as the socket is open.
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(f"\0mobilesam-port-{port}")
    except OSError:
        claim.close()
        return False
    _claims[port] = claim
    return True


@atexit.register
def _release_claims() -> None:
    for claim in _claims.values():
        claim.close()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: a port whose last connections are still closing is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
        return True


class ChildProcess:
    """A program that runs while the `with` block does, in a session of its own.

    Ctrl-C in the terminal then reaches only this process, which ends its children in order.

    Args:
        name: what messages call it.
        command: the program and its arguments.
        environment: all its environment variables.
        log: file that gets its output, begun anew.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        log: Path,
    ) -> None:
        self.name = name
        self.command = command
        self.environment = environment
        self.log = log

    def __enter__(self) -> Self:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                self.command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=GRACE_S)
        # Itself, if it did not listen, and what it started and left behind.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    @property
    def pid(self) -> int:
        """The process id, while the `with` block runs."""
        return self._process.pid

    def check_running(self) -> None:
        """See that the program still runs.

        Raises:
            BackendError: it ended; the remedy shows the last lines of its log.
        """
        code = self._process.poll()
        if code is not None:
            raise BackendError(
                f"{self.name} ended with exit code {code}", remedy=f"read {self._log_tail()}"
            )

    def wait_until_healthy(self, health_url: str, *, timeout_s: float) -> None:
        """Wait for the first 200 of `health_url`.

        Raises:
            BackendError: the program ended, or `timeout_s` passed; the remedy shows its log.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            self.check_running()
            if _is_healthy(health_url):
                self.check_running()  # or else somebody else has answered
                return
            if time.monotonic() > deadline:
                raise BackendError(
                    f"{self.name} did not answer {health_url} within {timeout_s:.0f} s",
                    remedy=f"read {self._log_tail()}",
                )
            time.sleep(POLL_INTERVAL_S)

    def _log_tail(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return f"{self.log}, which ends with\n" + "\n".join(lines[-TAIL_LINES:])


def _is_healthy(url: str) -> bool:
    try:
        answer = exchange(
            "GET",
            url,
            deadline=Deadline(HEALTH_TIMEOUT_S),
            max_bytes=MEGABYTE,
            reach=NetworkPolicy.to(url),
        )
    except (TransportError, BodyTooLargeError):
        return False
    return answer.status == HTTPStatus.OK
