"""One HTTP exchange, bounded in seconds, bytes and addresses: no redirects, no cookies.

`requests` alone bounds the wait for each piece of an answer, not the whole: a server that sends a
byte now and then holds a thread for hours. Here one `Deadline` covers connecting, the headers and
the body. (A name with several dead addresses may take it for each; the resolver has its own.)
"""

import re
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from urllib3 import Timeout
from urllib3.exceptions import (
    HTTPError,
    LocationParseError,
    ProtocolError,
)

from backend.transport.certificates import REMEDY, CertificatesNotFoundError
from backend.transport.json_body import JsonAnswerError, decode_json
from backend.transport.sessions import (
    KEPT_CONNECTIONS,
    KeptConnectionEndedError,
    Resolver,
    Sessions,
    cut_off_after,
)

ERROR_BYTES = 64 * 1024  # enough of an error's body to find its explanation

# The first that fits an exception, or one that led to it.
_WORDS: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((requests.Timeout, TimeoutError), "did not answer within {seconds:g} s"),
    ((requests.exceptions.ProxyError,), "is not reachable through the proxy"),
    ((socket.gaierror,), "has a name that does not resolve"),
    ((ssl.SSLCertVerificationError,), "has no TLS certificate that is trusted here"),
    ((ssl.SSLError,), "does not answer in TLS"),
    ((ConnectionRefusedError,), "refused the connection"),
    ((requests.exceptions.InvalidURL, LocationParseError, UnicodeError), "is not a valid address"),
    ((ConnectionError, ProtocolError), "cut the connection"),
)

_sessions = Sessions()


class TransportError(Exception):
    """No complete answer came; the text continues a sentence that starts with the address.

    `remedy` says what to do, where more is known than that the address may be wrong.
    """

    def __init__(self, words: str, *, remedy: str = "") -> None:
        super().__init__(words)
        self.remedy = remedy


class BodyTooLargeError(Exception):
    """The body of a 2xx has more bytes than allowed."""


class Deadline:
    """A moment that several steps have to keep together.

    Args:
        seconds: from now on.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds left, more than 0.

        Raises:
            TransportError: none are left.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise TransportError(f"did not answer within {self.seconds:g} s")
        return left


@dataclass(frozen=True)
class Answer:
    """What a server answered; of a status other than 2xx the body's first `ERROR_BYTES`."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def field(self, name: str) -> str | None:
        """A text field of a body that is a JSON object; None if there is none."""
        try:
            value = decode_json(self.body, dict[str, Any]).get(name)
        except JsonAnswerError:
            return None
        return value if isinstance(value, str) else None


def exchange(
    method: str,
    url: str,
    *,
    deadline: Deadline,
    max_bytes: int,
    reach: Resolver,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    files: Sequence[tuple[str, bytes]] = (),
    is_idempotent: bool | None = None,
) -> Answer:
    """Send one request and read its answer; a redirect is an answer like any other.

    Safe under threads. No cookie is kept and no `.netrc` is read, so that nothing a server sent
    and no credential but those in `headers` travels. Proxies of the environment are honoured, and
    its certificate authorities: see `certificates`. A proxy resolves names by itself and connects
    where its own rules let it; what `reach` refuses is not asked of it, where names resolve here.

    Args:
        method: such as GET.
        url: http or https, already percent-encoded.
        deadline: ends the exchange wherever it stands.
        max_bytes: largest body of a 2xx.
        reach: asked for the addresses of the host; the connection goes to one of them, and a name
            is resolved only there. TLS and the Host header still have the name.
        headers: sent besides the usual ones.
        body: of the request, sent as JSON.
        files: names and contents, sent as a form in place of `body`.
        is_idempotent: whether it is retried where a kept-alive connection was closed by the server
            just as the request went out; a GET is, if not given. Nothing else is ever retried.

    Raises:
        TransportError: the address is not valid or not allowed, nobody answered, or not completely.
        BodyTooLargeError: more than `max_bytes`.
    """
    # Some hosts refuse the name of a library; an image does not get smaller by compression.
    own_headers = {"User-Agent": "mobilesam-label-studio", "Accept-Encoding": "identity"}
    if body is not None:
        own_headers["Content-Type"] = "application/json"
    # Label Studio takes one file of each field, so that none may share its name.
    form = [(f"file{index}", file) for index, file in enumerate(files)]
    request = {
        "method": method,
        "url": url,
        "headers": {**own_headers, **(headers or {})},
        "data": body,
        "files": form,
    }
    may_repeat = method == "GET" if is_idempotent is None else is_idempotent
    repeats_left = KEPT_CONNECTIONS if may_repeat else 0  # all of them may have ended
    while True:
        try:
            return _exchange_once(request, deadline=deadline, max_bytes=max_bytes, reach=reach)
        except CertificatesNotFoundError as error:
            raise TransportError(f"is not asked: {error}", remedy="correct it") from None
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            deadline.left()
            chain = _chain(error)
            if repeats_left and any(isinstance(one, KeptConnectionEndedError) for one in chain):
                repeats_left -= 1
                continue
            # Not chained: the messages inside quote the whole URL.
            distrusted = any(isinstance(one, ssl.SSLCertVerificationError) for one in chain)
            remedy = REMEDY if distrusted else ""
            raise TransportError(_why(chain, deadline), remedy=remedy) from None


def close_kept_connections() -> None:
    """Close the connections that are kept for the next exchange, and that nobody uses now."""
    _sessions.close()


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of a URL: where its credentials may go.

    Raises:
        ValueError: the URL is malformed, or names another host to whoever else reads it.
    """
    # Here `http://a\\@b/` is on b; urllib3 and browsers see a.
    if re.match(r"[^/]*//[^/?#]*[\\\s]", url):
        raise ValueError("a backslash or a space in the host's name")
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    return scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(scheme)


def _exchange_once(
    request: Mapping[str, Any], *, deadline: Deadline, max_bytes: int, reach: Resolver
) -> Answer:
    timeout = Timeout(total=deadline.left())
    with _sessions.get(reach).request(
        **request,
        timeout=timeout,  # type: ignore[arg-type]  # the adapter documents this type
        stream=True,
    ) as response:
        with cut_off_after(deadline.left(), response.raw.shutdown):
            body = _read(response, max_bytes)
        deadline.left()  # a body without a length ends early, and silently, when cut off
        return Answer(response.status_code, response.headers, body)


def _read(response: requests.Response, max_bytes: int) -> bytes:
    body = bytearray()
    is_success = 200 <= response.status_code < 300
    for chunk in response.iter_content(64 * 1024):
        body += chunk
        if not is_success and len(body) >= ERROR_BYTES:
            return bytes(body[:ERROR_BYTES])
        if len(body) > max_bytes:
            raise BodyTooLargeError(f"more than {max_bytes} bytes came")
    return bytes(body)


def _chain(error: BaseException) -> list[BaseException]:
    """The exception and all that led to it."""
    chain = [error]
    while cause := chain[-1].__cause__ or chain[-1].__context__:
        chain.append(cause)
    return chain


def _why(chain: Sequence[BaseException], deadline: Deadline) -> str:
    """Say in words of our own what went wrong; the libraries' words hold the URL."""
    for kinds, words in _WORDS:
        if any(isinstance(error, kinds) for error in chain):
            return words.format(seconds=deadline.seconds)
    return "is not reachable"
