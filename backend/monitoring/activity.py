"""What the service does, for those who look after it: figures, the latest clicks and failures."""

import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from backend.monitoring.metrics import Metrics
from backend.monitoring.request_log import log_request, log_unprepared
from backend.monitoring.request_record import Fault, RequestRecord, harmless_project

FAILURES_KEPT = 100
CLICKS_KEPT = 200


@dataclass(frozen=True)
class Failure:
    """Something that went wrong, and how often the same did so; `at` is when it did last."""

    at: str
    request_id: str | None  # None: nobody asked for it, it was to be prepared
    path: str | None
    task_id: int | None
    project: str | None
    code: str
    reason: str
    message: str
    remedy: str
    times: int = 1


@dataclass(frozen=True)
class ClickTimes:
    """How long a click took, step by step, and what it came to."""

    at: str
    request_id: str
    task_id: int | None
    project: str | None
    outcome: str
    prompts: dict[str, int]
    masks: int
    tiers: list[str]
    steps_ms: dict[str, float]
    total_ms: float


class Activity:
    """Takes in what happens and tells of it; safe under threads.

    Repeated failures are merged and counted, so that a retrying annotator or an unauthenticated
    client cannot evict the others.

    Args:
        describe: as for `Metrics`.
    """

    def __init__(self, describe: Callable[[], dict[str, Any]]) -> None:
        self.metrics = Metrics(describe)
        self._lock = threading.Lock()
        self._clicks: deque[RequestRecord] = deque(maxlen=CLICKS_KEPT)
        self._failures: OrderedDict[tuple[object, ...], Failure] = OrderedDict()

    def answered(self, record: RequestRecord, status: int) -> None:
        """End the record of a request that is answered, log it and count it."""
        record.end(status)
        log_request(record)
        self.metrics.count_request(record)
        if record.prompts is not None:
            with self._lock:
                self._clicks.append(record)
        if record.fault is not None and not record.is_refused_webhook:
            self._failed(
                record.fault,
                at=_time(record.at_s),
                request_id=record.request_id,
                path=record.route,
                task_id=record.task_id,
                project=record.project,
            )

    def unprepared(self, error: Exception, *, task_id: int, project: str, is_guess: bool) -> None:
        """Take in that an image could not be embedded ahead.

        Args:
            error: why.
            task_id: of the task whose image it is.
            project: "<id>.<unix time of creation>", as in the request.
            is_guess: nobody has opened the task yet; its failure is told when somebody does.
        """
        fault, known_project = Fault.of(error), harmless_project(project)
        level = logging.DEBUG if is_guess else logging.WARNING
        log_unprepared(task_id, known_project, error, level)
        if not is_guess:
            self.metrics.count_failure(fault.code)
            self._failed(
                fault,
                at=_time(datetime.now(UTC).timestamp()),
                request_id=None,
                path=None,
                task_id=task_id,
                project=known_project,
            )

    def recent(self) -> dict[str, list[dict[str, Any]]]:
        """Return the latest failures and clicks for JSON, the newest first."""
        with self._lock:
            failures, clicks = list(self._failures.values()), list(self._clicks)
        return {
            "failures": [asdict(failure) for failure in reversed(failures)],
            "clicks": [asdict(_click_times(click)) for click in reversed(clicks)],
        }

    def _failed(
        self, fault: Fault, *, task_id: int | None, project: str | None, **seen: Any
    ) -> None:
        kind = (fault, task_id, project)
        with self._lock:
            earlier = self._failures.pop(kind, None)
            times = 1 if earlier is None else earlier.times + 1
            self._failures[kind] = Failure(
                task_id=task_id, project=project, times=times, **asdict(fault), **seen
            )
            if len(self._failures) > FAILURES_KEPT:
                self._failures.popitem(last=False)


def _click_times(record: RequestRecord) -> ClickTimes:
    return ClickTimes(
        at=_time(record.at_s),
        request_id=record.request_id,
        task_id=record.task_id,
        project=record.project,
        outcome=record.outcome,
        prompts=record.prompts or {},
        masks=record.masks,
        tiers=list(dict.fromkeys(record.tiers)),
        steps_ms=record.steps_ms,
        total_ms=round(1000 * record.total_s, 1),
    )


def _time(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds")
