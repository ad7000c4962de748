"""Connection pools of `requests` that judge each address as they connect to it (SSRF)."""

import functools
import logging
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Protocol, cast

import requests
from requests.adapters import HTTPAdapter
from requests.utils import select_proxy
from urllib3 import HTTPConnectionPool, HTTPResponse, HTTPSConnectionPool, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    LocationParseError,
    NameResolutionError,
    NewConnectionError,
)
from urllib3.util import parse_url
from urllib3.util.connection import create_connection

from backend.transport.certificates import ca_bundle

KEPT_CONNECTIONS = 16  # per host, for the next exchange
# Idle timeout. Firewalls silently drop idle connections after 4 minutes or more, and a request on
# one would hang until its timeout.
KEPT_FOR_S = 60.0
KEPT_SESSIONS = 64  # an LRU, one for each policy: none uses a connection that another may not open

# Their DEBUG and WARNING lines quote whole URLs, and with them the signatures in queries.
logging.getLogger("urllib3").setLevel(logging.ERROR)


class Resolver(Protocol):
    """Says where a connection may go. Hashable: equal ones share a connection pool."""

    def __hash__(self) -> int:
        """Tell those that differ apart."""

    def addresses(self, scheme: str, host: str, port: int | None) -> Sequence[str]:
        """Resolve a host into the IP addresses to connect to.

        Raises:
            TransportError: it must not be connected to.
            socket.gaierror: it does not resolve.
        """


class KeptConnectionEndedError(ConnectionError):
    """The server closed a connection that it had kept, just as the next request went out on it."""


class _HTTPConnection(HTTPConnection):
    """Connects where its policy lets it; the timeout covers all headers of the answer together.

    Without a policy it connects to a proxy, wherever that is.
    """

    def __init__(self, *args: Any, reach: Resolver | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._reach = reach
        self._answered_at: float | None = None  # of time.monotonic(); since it was connected

    @property
    def is_connected(self) -> bool:
        if self._answered_at is None or time.monotonic() > self._answered_at + KEPT_FOR_S:
            return False
        return super().is_connected

    def _new_conn(self) -> socket.socket:
        self._answered_at = None
        if self._reach is None:
            return super()._new_conn()
        scheme = "https" if isinstance(self, HTTPSConnection) else "http"
        failure: OSError = OSError("the name has no address")
        try:
            for address in self._reach.addresses(scheme, self.host, self.port):
                try:
                    return create_connection(
                        (address, self.port),
                        self.timeout,
                        source_address=self.source_address,
                        socket_options=self.socket_options,
                    )
                except OSError as error:
                    failure = error
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except UnicodeError:
            raise LocationParseError(f"{self.host!r} is no name") from None
        if isinstance(failure, TimeoutError):
            raise ConnectTimeoutError(self, "nobody answered") from failure
        raise NewConnectionError(self, "no connection") from failure

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as urllib3 does
        sock = getattr(self.sock, "socket", self.sock)  # TLS in a proxy's TLS only wraps one
        seconds = cast("float", self.timeout)
        try:
            with cut_off_after(seconds, lambda: sock.shutdown(socket.SHUT_RDWR)):
                response = super().getresponse()
        except ConnectionError as error:
            if self._answered_at is not None:
                raise KeptConnectionEndedError(str(error)) from error
            raise
        self._answered_at = time.monotonic()
        return response


class _HTTPSConnection(_HTTPConnection, HTTPSConnection):
    pass


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


class _Session(requests.Session):
    """Leaves redirects alone; `allow_redirects=False` would still read all of their bodies."""

    def get_redirect_target(self, _resp: requests.Response) -> None:
        return None

    def merge_environment_settings(
        self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any
    ) -> Any:
        settings = super().merge_environment_settings(url, proxies, stream, verify, cert)
        return {**settings, "verify": ca_bundle()}


class _Adapter(HTTPAdapter):
    def __init__(self, reach: Resolver) -> None:
        self._reach = reach
        super().__init__(pool_maxsize=KEPT_CONNECTIONS)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _pools(self._reach)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        if isinstance(manager, ProxyManager):  # SOCKS has connections of its own
            manager.pool_classes_by_scheme = _pools(None)
        return manager

    def get_connection_with_tls_context(
        self,
        request: requests.PreparedRequest,
        verify: Any,
        proxies: Any = None,
        cert: Any = None,
    ) -> HTTPConnectionPool:
        if select_proxy(cast("str", request.url), proxies):  # else the connection asks
            with suppress(socket.gaierror, UnicodeError):  # a name that only the proxy knows
                url = parse_url(cast("str", request.url))
                self._reach.addresses(
                    url.scheme or "",
                    url.host or "",
                    url.port or (80 if url.scheme == "http" else 443),
                )
        return super().get_connection_with_tls_context(request, verify, proxies, cert)


def _pools(reach: Resolver | None) -> dict[str, Any]:
    return {
        "http": functools.partial(_HTTPPool, reach=reach),
        "https": functools.partial(_HTTPSPool, reach=reach),
    }


class Sessions:
    """One connection pool for each policy, shared by all threads.

    Switched off are cookies, and credentials from `.netrc`, which would replace an Authorization
    header. Both would send something of one project to another.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sessions: OrderedDict[Resolver, requests.Session] = OrderedDict()

    def get(self, reach: Resolver) -> requests.Session:
        """Return the session of those that may reach the same."""
        with self._lock:
            session = self._sessions.pop(reach, None) or self._make(reach)
            self._sessions[reach] = session
            while len(self._sessions) > KEPT_SESSIONS:
                # Only the connections that nobody uses now are closed at once.
                self._sessions.popitem(last=False)[1].close()
            return session

    def close(self) -> None:
        """Close the connections that nobody uses now."""
        with self._lock:
            sessions, self._sessions = self._sessions, OrderedDict()
        for session in sessions.values():
            session.close()

    def _make(self, reach: Resolver) -> requests.Session:
        session = _Session()
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        session.auth = _leave_as_it_is
        for scheme in ("http://", "https://"):
            session.mount(scheme, _Adapter(reach))
        return session


def _leave_as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


@contextmanager
def cut_off_after(seconds: float, shutdown: Callable[[], object]) -> Iterator[None]:
    """End a read that lasts longer than this, however many bytes keep coming."""

    def cut() -> None:
        with suppress(OSError, ValueError, RuntimeError):  # it has just ended by itself
            shutdown()

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
