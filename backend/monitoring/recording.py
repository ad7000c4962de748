"""A record of each request of the app: begun before anything else, logged when it is answered."""

from flask import Flask, Response, request

from backend.monitoring.activity import Activity
from backend.monitoring.request_log import log_request, milliseconds
from backend.monitoring.request_record import (
    RequestRecord,
    accepted_id,
    current_record,
    set_current_record,
)
from backend.monitoring.step_times import collect_steps


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
        begin_record(record)

    @app.after_request
    def end(response: Response) -> Response:
        record = current_record()
        end_record(record, response.status_code, activity)
        response.headers["X-Request-ID"] = record.request_id
        if record.route == "/predict":
            response.headers["Server-Timing"] = server_timing(record)
        return response

    @app.teardown_request
    def forget(_: BaseException | None) -> None:
        forget_record()


def begin_record(record: RequestRecord) -> None:
    """Have this thread fill a record in from now on."""
    set_current_record(record)
    collect_steps(record.steps_s)


def end_record(record: RequestRecord, status: int, activity: Activity) -> None:
    """Log a request that is answered, and tell `activity` of it."""
    record.end(status)
    log_request(record)
    activity.answered(record)


def forget_record() -> None:
    """Have this thread fill no record in any more."""
    set_current_record(None)
    collect_steps(None)


def server_timing(record: RequestRecord) -> str:
    """Return the header's value: milliseconds of each step and of all, and the cache's tiers.

    Example:
        `cache;desc="memory", mask;dur=18.2, codec;dur=0.7, total;dur=21.5`
    """
    tiers = ",".join(dict.fromkeys(record.tiers))
    durations_ms = milliseconds(record.steps_s) | {"total": round(1000 * record.total_s, 1)}
    cache = [f'cache;desc="{tiers}"'] if tiers else []
    steps = [f"{name};dur={duration_ms}" for name, duration_ms in durations_ms.items()]
    return ", ".join(cache + steps)
