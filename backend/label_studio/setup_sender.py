"""Who sent a /setup request, as far as that says which private address it may name.

Behind a reverse proxy on this machine every request comes from 127.0.0.1. A stranger's /setup
could then name any loopback port, and have this service ask there (SSRF).
"""

import re
import threading
import time
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

import psutil
from msgspec import Struct

from backend.core.ttl_map import TtlMap
from backend.transport.addresses import NetworkPolicy
from backend.transport.json_body import JsonAnswerError, decode_json
from backend.transport.transport import (
    ERROR_BYTES,
    BodyTooLargeError,
    Deadline,
    TransportError,
    exchange,
    origin,
)

# What proxies add: then the request comes from anywhere, whatever the connection says.
FORWARDED = ("HTTP_FORWARDED", "HTTP_X_FORWARDED_FOR", "HTTP_X_REAL_IP", "HTTP_VIA")
UNKNOWN = ""
PROOF_TIMEOUT_S = 1.0  # Label Studio waits 3 s for the answer to /setup
PROOF_TRUSTED_S = 3600.0
DOUBT_TRUSTED_S = 60.0
SECONDS_PER_LOOK = 1.0  # at the connections of this machine, which takes some of them

_proofs: TtlMap[str, bool] = TtlMap(1000)
_asking = threading.BoundedSemaphore(4)  # so that strangers hold no more threads than that
_look = threading.Lock()
_looked_at = 0.0


class _Version(Struct):
    release: str


def setup_sender(environ: Mapping[str, Any], hostname: str | None) -> str:
    """Return the IP address that a /setup request came from, or `UNKNOWN`.

    A loopback address is returned only where the Label Studio that it names proves to be one: the
    process that sent the request listens at that port itself, or what listens there tells Label
    Studio's version. That is the only question which an unproven port is ever asked.

    Args:
        environ: of the WSGI request.
        hostname: that it names.
    """
    address = str(environ.get("REMOTE_ADDR") or UNKNOWN)
    if any(environ.get(name) for name in FORWARDED):
        return UNKNOWN
    try:
        is_loopback = ip_address(address.partition("%")[0]).is_loopback
    except ValueError:  # a socket that has no addresses
        return UNKNOWN
    if not is_loopback or "REMOTE_PORT" not in environ:  # or it never left this process
        return address
    url = (hostname or "").strip().rstrip("/")
    try:
        scheme, _, port = origin(url)
    except ValueError:
        return UNKNOWN
    if scheme not in ("http", "https") or port is None:
        return UNKNOWN
    is_proven = _proofs.get(url)
    if is_proven is None:
        ports = int(environ["REMOTE_PORT"]), int(environ["SERVER_PORT"])
        is_proven = _is_listener(*ports, port) or _tells_version(url)
        lifetime_s = PROOF_TRUSTED_S if is_proven else DOUBT_TRUSTED_S
        _proofs.put(url, is_proven, lifetime_s=lifetime_s)
    return address if is_proven else UNKNOWN


def _is_listener(sender_port: int, own_port: int, port: int) -> bool:
    """Whether the process at the other end of a loopback connection listens at a port itself.

    False where that cannot be seen, such as for processes of other users.
    """
    global _looked_at  # noqa: PLW0603 - strangers must not make this service look all the time
    with _look:
        if time.monotonic() - _looked_at < SECONDS_PER_LOOK:
            return False
        _looked_at = time.monotonic()
        try:
            connections = psutil.net_connections("tcp")
        except (psutil.Error, OSError):
            return False
    senders = {
        each.pid
        for each in connections
        if each.raddr and (each.laddr.port, each.raddr.port) == (sender_port, own_port)
    } - {None}
    return any(
        each.pid in senders and each.status == psutil.CONN_LISTEN and each.laddr.port == port
        for each in connections
    )


def _tells_version(url: str) -> bool:
    """Ask for Label Studio's version, without a token; only on this machine, and nothing else."""
    if not _asking.acquire(blocking=False):
        return False
    try:
        answer = exchange(
            "GET",
            f"{url}/api/version/",
            deadline=Deadline(PROOF_TIMEOUT_S),
            max_bytes=ERROR_BYTES,
            reach=NetworkPolicy(trusted=origin(url), seen_at="127.0.0.1"),
        )
        release = decode_json(answer.body, _Version).release
    except (TransportError, BodyTooLargeError, JsonAnswerError):
        return False
    finally:
        _asking.release()
    return answer.status == 200 and re.match(r"\d+\.\d+", release) is not None
