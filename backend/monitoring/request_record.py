"""What one request was, did and came to: for the log, the answer's headers and the figures."""

import re
import secrets
import time
from collections.abc import Collection, Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Self

from backend.core.errors import BackendError
from backend.monitoring.step_times import StepTimes

TASKS_NAMED = 5  # of a batch
LONGEST_TEXT = 2000  # characters of an error; it may name what came, however long that is
PROJECT = re.compile(r"\d{1,20}(\.\d{1,20})?")
HARMLESS_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True)
class Fault:
    """Why a request or a preparation failed, as answers, log and figures tell it."""

    code: str
    reason: str
    message: str
    remedy: str

    @classmethod
    def of(cls, error: Exception) -> Self:
        """Describe an error; of a bug only its type, since nobody knows what its text holds."""
        if isinstance(error, BackendError):
            story = (error.reason, error.message, error.remedy)
            return cls(error.code, *(text[:LONGEST_TEXT] for text in story))
        return cls(
            BackendError.code,
            BackendError.reason,
            f"an unexpected {type(error).__name__}",
            "look into this service's log for the traceback, and report it",
        )


@dataclass
class RequestRecord:
    """One request, filled in by the modules that it passes.

    Only what is harmless in a log: no body, no address of an image, nothing of a secret.

    Args:
        request_id: in the log, in the answer's header and in an error's body.
        method: of HTTP.
        path: as it was asked.
        route: the path as this service knows it, or None if it does not.
    """

    request_id: str = field(default_factory=lambda: secrets.token_hex(8))
    method: str = ""
    path: str = ""
    route: str | None = None
    task_ids: tuple[int, ...] = ()
    project: str | None = None
    prompts: dict[str, int] | None = None  # points, negative_points and boxes; None: not a click
    masks: int = 0
    tiers: list[str] = field(default_factory=list)  # that served the embeddings, in that order
    steps_s: StepTimes = field(default_factory=dict)
    fault: Fault | None = None
    status: int = 0
    total_s: float = 0.0
    at_s: float = field(default_factory=time.time)  # since 1970
    _started: float = field(default_factory=time.perf_counter)

    def concerns(self, project: str, tasks: Iterable[dict[str, Any]]) -> None:
        """Take in whose tasks it is about, as far as they are what they should be."""
        self.project = harmless_project(project)
        self.task_ids = tuple(task["id"] for task in tasks if isinstance(task.get("id"), int))

    def prompted(self, point_labels: Collection[int], *, boxes: int) -> None:
        """Take in what was clicked.

        Args:
            point_labels: of all key points, 1 on an object and 0 off it.
            boxes: how many rectangles.
        """
        positive = sum(point_labels)
        negative = len(point_labels) - positive
        self.prompts = {"points": positive, "negative_points": negative, "boxes": boxes}

    def end(self, status: int) -> None:
        """Take in that it is answered."""
        self.status = status
        self.total_s = time.perf_counter() - self._started

    @property
    def task_id(self) -> int | None:
        """The one task that it is about; None for a batch, or for none."""
        return self.task_ids[0] if len(self.task_ids) == 1 else None

    @property
    def is_refused_webhook(self) -> bool:
        """Whether it failed as it must: Label Studio never authorizes its webhooks."""
        return self.route == "/webhook" and self.status == HTTPStatus.UNAUTHORIZED

    @property
    def outcome(self) -> str:
        """How it ended.

        `refused` for what who asked can change and `failed` for what they cannot; `mask` and
        `empty` for clicks, `prepared` for opened tasks, `ok` for everything else.
        """
        if self.status >= 400:
            return "failed" if self.status >= 500 else "refused"
        if self.prompts is not None:
            return "mask" if self.masks else "empty"
        return "prepared" if self.task_ids else "ok"


_current: ContextVar[RequestRecord | None] = ContextVar("record", default=None)


def current_record() -> RequestRecord:
    """Return the record of the request that this thread answers; one that nobody reads if none."""
    return _current.get() or RequestRecord()


def set_current_record(record: RequestRecord | None) -> None:
    """Say which request this thread answers from now on."""
    _current.set(record)


def harmless_project(project: str) -> str | None:
    """Return a project as Label Studio names it, and nothing else that a body may hold."""
    return project if PROJECT.fullmatch(project) else None


def accepted_id(sent: str | None) -> str:
    """Return the id that a client gave its request if it is short and harmless, else a new one."""
    return sent if sent and HARMLESS_ID.fullmatch(sent) else secrets.token_hex(8)
