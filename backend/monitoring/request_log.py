"""One line of the log for each request, in logfmt: `key=value key="a value with spaces"`."""

import logging
import re
from collections.abc import Iterable

from backend.core.errors import BackendError
from backend.core.text import on_one_line
from backend.monitoring.request_record import TASKS_NAMED, Fault, RequestRecord

PATH_CHARACTERS = 100
# Asked again and again by machines.
QUIET_ROUTES = ("/health", "/metrics", "/activity", "/page/status")

PLAIN = re.compile(r"[!#-&(-<>-\[\]-~]+")  # printable ASCII but for space, quotes, = and backslash

log = logging.getLogger(__name__)


def log_request(record: RequestRecord) -> None:
    """Write a request's line: a warning if it failed, for DEBUG only if a machine keeps asking."""
    level = _level(record)
    if log.isEnabledFor(level):
        log.log(level, "%s", logfmt(_request_fields(record)))


def log_unprepared(task_id: int, project: str | None, error: Exception, level: int) -> None:
    """Write the line of an image that could not be embedded ahead, which no request shows."""
    fields: list[tuple[str, object]] = [("outcome", "unprepared"), ("task", task_id)]
    if project is not None:
        fields.append(("project", project))
    traceback = None if isinstance(error, BackendError) else error
    log.log(level, "%s", logfmt([*fields, *_fault_fields(Fault.of(error))]), exc_info=traceback)


def logfmt(fields: Iterable[tuple[str, object]]) -> str:
    """Join fields to a line; values that are not one plain word stand in quotes.

    Example:
        [("task", 4), ("reason", "no image")] is `task=4 reason="no image"`.
    """
    return " ".join(f"{name}={_quoted(str(value))}" for name, value in fields)


def _quoted(value: str) -> str:
    if PLAIN.fullmatch(value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{on_one_line(escaped)}"'


def _level(record: RequestRecord) -> int:
    if record.is_refused_webhook:
        return logging.DEBUG
    if record.status >= 400:
        return logging.WARNING
    return logging.DEBUG if record.route in QUIET_ROUTES else logging.INFO


def _request_fields(record: RequestRecord) -> Iterable[tuple[str, object]]:
    yield "method", record.method
    yield "path", record.path[:PATH_CHARACTERS]
    yield "status", record.status
    yield "outcome", record.outcome
    if record.task_ids:
        yield "task", ",".join(map(str, record.task_ids[:TASKS_NAMED]))
    if len(record.task_ids) > 1:
        yield "tasks", len(record.task_ids)
    if record.project is not None:
        yield "project", record.project
    if record.prompts is not None:
        yield from record.prompts.items()
        yield "masks", record.masks
    if record.tiers:
        yield "cache", ",".join(dict.fromkeys(record.tiers))
    for name, duration_ms in record.steps_ms.items():
        yield f"{name}_ms", duration_ms
    yield "total_ms", round(1000 * record.total_s, 1)
    yield "request", record.request_id
    if record.fault is not None:
        yield from _fault_fields(record.fault)


def _fault_fields(fault: Fault) -> list[tuple[str, object]]:
    return [
        ("code", fault.code),
        ("reason", fault.reason),
        ("message", fault.message),
        ("remedy", fault.remedy),
    ]
