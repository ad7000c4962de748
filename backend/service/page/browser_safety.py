"""Headers of the page's answers: no foreign script, in nobody's frame."""

from flask import Blueprint, Response

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


def protect(blueprint: Blueprint) -> None:
    """Have a blueprint send `HEADERS` with every answer."""

    @blueprint.after_request
    def add_headers(response: Response) -> Response:
        response.headers.update(HEADERS)
        return response
