"""The service in gunicorn: one process that loads the model once, many threads."""

import ctypes
import gc
import logging
import os
import selectors
import sys
import time
from functools import partial
from ipaddress import ip_address
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.workers.gthread import ThreadWorker

from backend.core.errors import BackendError
from backend.core.units import MEGABYTE
from backend.segmentation.click_service import ClickService
from backend.service.app import create_app
from backend.settings.settings import Settings
from mobilesam import DeviceLostError, MobileSamError

BACKLOG = 256  # connections that wait for a thread
KEEP_ALIVE_S = 75  # Label Studio opens a new connection per call, load balancers keep theirs
# Connections that have sent nothing yet; the oldest make way. gunicorn takes 1,000 of all kinds.
MAX_SILENT = 512
SILENT_S = 20
STOPPING_SILENT_S = 1  # after SIGTERM
GRACEFUL_TIMEOUT_S = 8  # for running requests after SIGTERM, so that all has ended within 10 s
WORKER_TIMEOUT_S = 120  # of a worker that does not even answer its parent

# glibc's mallopt: by itself it raises the bounds when large blocks are freed, and each thread then
# keeps the memory of the largest image that it has ever decoded. 1,347 instead of 1,535 MB with 100
# images in memory (benchmarks/bench_memory.py).
MALLOC_OPTIONS = {
    -8: 2,  # M_ARENA_MAX
    -3: 4 * MEGABYTE,  # M_MMAP_THRESHOLD: larger blocks go back to the system when they are freed
    -1: 32 * MEGABYTE,  # M_TRIM_THRESHOLD
}

log = logging.getLogger(__name__)


def serve(settings: Settings) -> None:
    """Listen on `settings.host` and `settings.port` until SIGTERM or Ctrl-C. Does not return.

    Args:
        settings: of the service; its weights must be there already.
    """
    configure_logging(settings.log_level)
    _bound_malloc()
    if settings.basic_auth_user is None and not ip_address(settings.host).is_loopback:
        log.warning(
            "anyone who reaches port %d can use this backend; "
            "set BASIC_AUTH_USER and BASIC_AUTH_PASS, or MOBILESAM_HOST=127.0.0.1",
            settings.port,
        )
    try:
        _Server(settings).run()
    except SystemExit as ended:  # of gunicorn's parent, and of its worker
        # At once: Python would wait for requests that never end, and take torch and OpenVINO apart
        # under the threads that still use them, for seconds on a busy machine.
        logging.shutdown()
        os._exit(ended.code if isinstance(ended.code, int) else 0)


def configure_logging(level: str) -> None:
    """Log to stderr, one line an event, from `level` on."""
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")


def _bound_malloc() -> None:
    """Have memory given back that nothing needs any more; children inherit it."""
    if (libc := _glibc()) is not None:
        for option, value in MALLOC_OPTIONS.items():
            libc.mallopt(option, value)


def _trim_malloc() -> None:
    """Give back what loading the model took between what it left."""
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:
        return None
    return libc if hasattr(libc, "malloc_trim") else None  # else another malloc, with other habits


class _Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn ships no types
    """Gives a thread to connections that have sent something, and listens to nobody at the end.

    gunicorn's own has a thread wait 5 s for the first byte: 500 connections that say nothing kept
    /health, and every click, for 40 s. And it stops accepting when it was told to end, but leaves
    the socket open until it has: who connects meanwhile, a load balancer's look at /health or a
    click, then waits for nothing.
    """

    def enqueue_req(self, conn: Any) -> None:
        if conn.initialized or conn.data_ready:
            super().enqueue_req(conn)
            return
        while len(self.pending_conns) >= MAX_SILENT:
            self.pending_conns[0].timeout = 0
            self.murder_pending()
        conn.sock.setblocking(False)
        conn.timeout = time.monotonic() + (SILENT_S if self.alive else STOPPING_SILENT_S)
        self.pending_conns.append(conn)
        readable = partial(self.on_pending_socket_readable, conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, readable)

    def set_accept_enabled(self, enabled: bool) -> None:
        super().set_accept_enabled(enabled)
        if enabled or self.alive:
            return
        for listener in self.sockets:
            while listener.sock is not None and self._accept_one(listener):
                pass  # connected before; they are answered too
            listener.close()
        for conn in self.pending_conns:
            conn.timeout = min(conn.timeout, time.monotonic() + STOPPING_SILENT_S)

    def _accept_one(self, listener: Any) -> bool:
        connections = self.nr_conns
        self.accept(listener)
        return bool(self.nr_conns > connections)


def _end_process(lost: DeviceLostError) -> None:
    """End this worker at once: gunicorn starts another one, whose GPU may work again.

    Until then it would be healthy to load balancers, and answer no click.
    """
    log.critical("%s; this worker ends, and another one starts", lost)
    logging.shutdown()
    os._exit(1)  # any status but gunicorn's own two, for which it would end as well


class _Server(BaseApplication):  # type: ignore[misc]  # gunicorn ships no types
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        super().__init__()

    def load_config(self) -> None:
        host = self.settings.host
        if ":" in host:
            host = f"[{host}]"  # an IPv6 address, apart from its port
        options: dict[str, Any] = {
            "bind": f"{host}:{self.settings.port}",
            "workers": 1,  # a second process would be a second model and a second cache
            "worker_class": _Worker,
            "threads": self.settings.threads,
            "backlog": BACKLOG,
            "keepalive": KEEP_ALIVE_S,
            "graceful_timeout": GRACEFUL_TIMEOUT_S,
            "timeout": WORKER_TIMEOUT_S,
            "loglevel": self.settings.log_level.lower(),
            "proc_name": "mobilesam-backend",
            "control_socket_disable": True,  # two services of one user would share it
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        # In the worker, after the fork: torch's threads and CUDA do not survive one.
        try:
            click_service = ClickService.from_settings(self.settings)
            app = create_app(self.settings, click_service=click_service)
        except (BackendError, MobileSamError) as error:
            log.critical("%s", error)
            sys.exit(Arbiter.APP_LOAD_ERROR)  # any other status, and gunicorn tries again for ever
        click_service.on_device_lost(_end_process)
        gc.freeze()  # it stays; see `cli.py`
        _trim_malloc()
        return app
