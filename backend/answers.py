"""Answers: JSON through orjson, and one shape for every error."""

import logging
from http import HTTPStatus
from typing import Any

import orjson
from flask import Flask, Response, jsonify, request
from flask.json.provider import JSONProvider
from werkzeug.exceptions import HTTPException

from backend.errors import BackendError, BusyError, UnauthorizedError
from backend.transport import on_one_line

log = logging.getLogger(__name__)

REASON_CHARACTERS = 120  # of a status line; enough for every reason of `errors`


class FastJson(JSONProvider):
    """JSON through orjson: a click brings all regions of the task's draft along, megabytes of them.

    It also refuses what the json module takes and nobody could write out again: a lone half of a
    character beyond 16 bits, and bodies nested without end.
    """

    def dumps(self, obj: Any, **_: Any) -> str:
        """Write an answer."""
        return orjson.dumps(obj).decode()

    def loads(self, s: str | bytes, **_: Any) -> Any:
        """Read a body.

        Raises:
            ValueError: it is not JSON.
        """
        return orjson.loads(s)

    def response(self, *args: Any, **kwargs: Any) -> Response:
        """Make an answer, without a detour through text."""
        content = orjson.dumps(self._prepare_response_obj(args, kwargs))
        return Response(content, mimetype="application/json")


def answer_errors(app: Flask) -> None:
    """Have every error answered in one JSON shape, its reason in the status line, no traceback."""
    app.register_error_handler(BackendError, _answer_error)
    app.register_error_handler(HTTPException, _answer_http_exception)
    app.register_error_handler(Exception, _answer_bug)


def _error_response(status: int, code: str, reason: str, message: str, remedy: str) -> Response:
    response = jsonify(error={"code": code, "reason": reason, "message": message, "remedy": remedy})
    phrase = "".join(c if " " <= c <= "~" else "?" for c in reason)[:REASON_CHARACTERS]
    response.status = f"{status} {phrase}"
    return response


def _answer_error(error: BackendError) -> Response:
    # Label Studio never authorizes its webhooks: with Basic auth on, each of them ends here.
    level = logging.DEBUG if request.path == "/webhook" else logging.WARNING
    log.log(level, "%s %s: %s", request.method, request.path, on_one_line(str(error)))
    response = _error_response(error.status, error.code, error.reason, error.message, error.remedy)
    if isinstance(error, UnauthorizedError):
        response.headers["WWW-Authenticate"] = 'Basic realm="MobileSAM backend"'
    if isinstance(error, BusyError):
        response.headers["Retry-After"] = "1"
    return response


def _answer_http_exception(error: HTTPException) -> Response:
    status = error.code or HTTPStatus.INTERNAL_SERVER_ERROR
    response = _error_response(
        status,
        "http",
        error.name,
        error.description or error.name,
        "see the README for the addresses that this service has",
    )
    for name, value in error.get_headers():
        if name.lower() in ("allow", "retry-after"):
            response.headers[name] = value
    return response


def _answer_bug(error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.path, exc_info=error)
    return _error_response(
        500,
        BackendError.code,
        BackendError.reason,
        f"an unexpected {type(error).__name__}",
        "look into this service's log for the traceback, and report it",
    )
