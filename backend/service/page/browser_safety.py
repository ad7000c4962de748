"""What keeps the page's addresses to the page: other sites' requests refused, no foreign script.

Browsers send Basic auth along by themselves, whichever site's page a request comes from.
"""

from urllib.parse import urlsplit

from flask import Blueprint, Response, request

from backend.core.errors import CrossSiteError

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


def protect(blueprint: Blueprint) -> None:
    """Have a blueprint refuse POSTs of other sites, and send `HEADERS` with every answer."""

    @blueprint.before_request
    def refuse_other_sites() -> None:
        if request.method == "POST":
            require_same_origin()

    @blueprint.after_request
    def add_headers(response: Response) -> Response:
        response.headers.update(HEADERS)
        return response


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
        is_own = origin is None or _host(origin) == request.host
    if not is_own:
        raise CrossSiteError(
            f"the request comes from a page of {origin or 'another site'}",
            remedy="open the page of this service, and send it from there; "
            "a proxy in front must pass the Host header on as it came",
        )


def _host(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None
