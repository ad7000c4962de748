"""Requests that another site's page has a browser send: refused where they change anything.

A browser reaches services that the site cannot: those of its user's machine and network. A form's
content type takes a request there without asking first, and a name that leads to this service's
address only on the second look-up (DNS rebinding) makes the site's page this service's own.

Programs, Label Studio's server first of all, send no header of a browser, and pass.
"""

import socket
from collections.abc import Callable, Collection
from ipaddress import ip_address
from urllib.parse import urlsplit

from flask import request

from backend.core.errors import CrossSiteError
from backend.core.text import on_one_line

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
# Nobody outside can have such a name lead anywhere: RFC 6761, 6762, 8375, and what routers use.
PRIVATE_SUFFIXES = (".localhost", ".local", ".internal", ".home.arpa", ".lan", ".test")


def cross_site_check(trusted_hosts: Collection[str], *, asks_password: bool) -> Callable[[], None]:
    """Make the check that runs before each request.

    Args:
        trusted_hosts: names by which browsers may reach this service without TLS, besides its
            addresses, names without a dot, those of PRIVATE_SUFFIXES, and the machine's own.
        asks_password: then a name is as good as any other: for one that is not this service's, no
            browser has the password.
    """
    names = {host.lower() for host in (*trusted_hosts, socket.gethostname())}

    def check() -> None:
        if request.method in SAFE_METHODS:
            return
        require_same_origin()
        if not asks_password:
            _require_known_host(names)

    return check


def require_same_origin() -> None:
    """Let a request pass that no other site's page can have sent.

    Browsers say where a request comes from: in `Sec-Fetch-Site` where the connection is safe, in
    `Origin` with every POST. Programs say neither and may pass.

    Raises:
        CrossSiteError: it comes from a page of another origin.
    """
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if site is not None:
        is_own = site in ("same-origin", "none")  # none: typed, or from a bookmark
    else:
        is_own = origin is None or _origin_host(origin) == request.host
    if not is_own:
        raise CrossSiteError(
            f"the request comes from a page of {on_one_line(origin or 'another site')}",
            remedy="open the page of this service, and send it from there; "
            "a proxy in front must pass the Host header on as it came",
        )


def _require_known_host(names: Collection[str]) -> None:
    """Refuse a page whose name may have been led here: one that came without TLS.

    With TLS, the certificate has vouched for the name. `Sec-Fetch-Site` and an `Origin` of https
    say so, and no script can set them; on localhost browsers send the former without TLS, too.

    Raises:
        CrossSiteError: a browser sent the request, to a name that is not known here.
    """
    origin = request.headers.get("Origin", "")
    if "Sec-Fetch-Site" in request.headers or not origin.lower().startswith("http:"):
        return
    host = _name(request.host)
    is_private = _is_address(host) or "." not in host or host.endswith(PRIVATE_SUFFIXES)
    if not is_private and host not in names:
        raise CrossSiteError(
            f"a page at {on_one_line(host)} without https may be another site's",
            remedy="if that is this service's name, add it to MOBILESAM_TRUSTED_HOSTS, or open the "
            "page with https",
            reason="Host not trusted, set MOBILESAM_TRUSTED_HOSTS",
        )


def _name(host: str) -> str:
    """The host without its port, in lower case."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return host.lower()


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _origin_host(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None
