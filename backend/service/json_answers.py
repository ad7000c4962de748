"""Answers: JSON through orjson, one shape for every error, and a record of each request."""

import logging
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

import orjson
from flask import Flask, Response, jsonify, request
from flask.json.provider import JSONProvider
from werkzeug.exceptions import HTTPException

from backend.core.errors import BackendError, BusyError, UnauthorizedError
from backend.monitoring.activity import Activity
from backend.monitoring.request_record import (
    Fault,
    RequestRecord,
    accepted_id,
    current_record,
    set_current_record,
)

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


def record_requests(app: Flask, activity: Activity) -> None:
    """Keep a record of each request; to be called before other hooks are added to the app.

    Every answer has the request's id as `X-Request-ID`, and those to /predict their steps' times as
    `Server-Timing`, which browsers' developer tools and `curl -i` show.
    """

    @app.before_request
    def begin() -> None:
        record = RequestRecord(
            request_id=accepted_id(request.headers.get("X-Request-ID")),
            method=request.method,
            path=request.path,
            route=request.url_rule.rule if request.url_rule else None,
        )
        set_current_record(record)

    @app.after_request
    def end(response: Response) -> Response:
        record = current_record()
        activity.answered(record, response.status_code)
        response.headers["X-Request-ID"] = record.request_id
        if record.route == "/predict":
            response.headers["Server-Timing"] = record.server_timing()
        return response

    @app.teardown_request
    def forget(_: BaseException | None) -> None:
        set_current_record(None)


def answer_errors(app: Flask) -> None:
    """Have every error answered in one JSON shape, its reason in the status line, no traceback."""
    app.register_error_handler(BackendError, _answer_error)
    app.register_error_handler(HTTPException, _answer_http_exception)
    app.register_error_handler(Exception, _answer_bug)


def _error_response(status: int, fault: Fault) -> Response:
    record = current_record()
    record.fault = fault
    response = jsonify(error={**asdict(fault), "request_id": record.request_id})
    phrase = "".join(c if " " <= c <= "~" else "?" for c in fault.reason)[:REASON_CHARACTERS]
    response.status = f"{status} {phrase}"
    return response


def _answer_error(error: BackendError) -> Response:
    response = _error_response(error.status, Fault.of(error))
    if isinstance(error, UnauthorizedError):
        response.headers["WWW-Authenticate"] = 'Basic realm="MobileSAM backend"'
    if isinstance(error, BusyError):
        response.headers["Retry-After"] = "1"
    return response


def _answer_http_exception(error: HTTPException) -> Response:
    status = error.code or HTTPStatus.INTERNAL_SERVER_ERROR
    fault = Fault(
        code="http",
        reason=error.name,
        message=error.description or error.name,
        remedy="see docs/openapi.yaml for the addresses that this service has",
    )
    response = _error_response(status, fault)
    for name, value in error.get_headers():
        if name.lower() in ("allow", "retry-after"):
            response.headers[name] = value
    return response


def _answer_bug(error: Exception) -> Response:
    log.error("request=%s failed", current_record().request_id, exc_info=error)
    return _error_response(HTTPStatus.INTERNAL_SERVER_ERROR, Fault.of(error))
