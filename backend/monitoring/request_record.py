"""The record of one request, with its steps' times: for the log, the answer's headers and /metrics.

The steps of a request, in the order of a click, wherever in the code and in whichever thread they
run:

    fetch    the image's bytes, or a wait for another request's fetch of them
    load     an embedding out of a slower tier of the cache
    wait     for the encoder, while it was at other images
    decode   the image's bytes to pixels
    encode   pixels to an embedding
    mask     a prompt to a mask of full size
    codec    a mask to regions

One context variable holds the record that a thread fills in; without one, steps are dropped.
"""

import re
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Self

from backend.core.errors import BackendError

STEPS = ("fetch", "load", "wait", "decode", "encode", "mask", "codec")
TASKS_NAMED = 5  # of a batch
LONGEST_TEXT = 2000  # characters of an error; it may name what came, however long that is
PROJECT = re.compile(r"\d{1,20}(\.\d{1,20})?")
HARMLESS_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

StepTimes = dict[str, float]  # a step -> its seconds


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

    `outcome` is `refused` where the client can mend it and `failed` where it cannot; `mask` and
    `empty` for clicks, `prepared` for opened tasks, `ok` for everything else. Label Studio never
    authorizes its webhooks, so with Basic auth they are always refused (`is_refused_webhook`).

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
    outcome: str = ""
    is_refused_webhook: bool = False
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
        """Note the answer's status, the total time and the outcome."""
        self.status = status
        self.total_s = time.perf_counter() - self._started
        self.is_refused_webhook = self.route == "/webhook" and status == HTTPStatus.UNAUTHORIZED
        if status >= HTTPStatus.BAD_REQUEST:
            is_ours = status >= HTTPStatus.INTERNAL_SERVER_ERROR
            self.outcome = "failed" if is_ours else "refused"
        elif self.prompts is not None:
            self.outcome = "mask" if self.masks else "empty"
        else:
            self.outcome = "prepared" if self.task_ids else "ok"

    def add_step(self, name: str, seconds: float) -> None:
        """Add to a step's time."""
        self.steps_s[name] = self.steps_s.get(name, 0.0) + seconds

    @property
    def task_id(self) -> int | None:
        """The one task that it is about; None for a batch, or for none."""
        return self.task_ids[0] if len(self.task_ids) == 1 else None

    @property
    def steps_ms(self) -> dict[str, float]:
        """Milliseconds of each step, to a tenth, in the order of a click."""
        return {name: round(1000 * self.steps_s[name], 1) for name in STEPS if name in self.steps_s}

    def server_timing(self) -> str:
        """Return the header's value: milliseconds of each step and of all, and the cache's tiers.

        Example:
            `cache;desc="memory", mask;dur=18.2, codec;dur=0.7, total;dur=21.5`
        """
        tiers = ",".join(dict.fromkeys(self.tiers))
        durations_ms = self.steps_ms | {"total": round(1000 * self.total_s, 1)}
        cache = [f'cache;desc="{tiers}"'] if tiers else []
        return ", ".join(cache + [f"{name};dur={ms}" for name, ms in durations_ms.items()])


_current: ContextVar[RequestRecord | None] = ContextVar("record", default=None)


def current_record() -> RequestRecord:
    """Return the record of the request that this thread answers; one that nobody reads if none."""
    return _current.get() or RequestRecord()


def set_current_record(record: RequestRecord | None) -> None:
    """Set the request that this thread answers from now on."""
    _current.set(record)


@contextmanager
def collecting_steps(steps_s: StepTimes) -> Iterator[None]:
    """Add the steps inside up in `steps_s`, and in no request's record."""
    token = _current.set(RequestRecord(steps_s=steps_s))
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def step(name: str) -> Iterator[None]:
    """Measure what is inside as a step, whether or not it succeeds; without the steps inside it."""
    record = _current.get()
    inside_s = 0.0 if record is None else sum(record.steps_s.values())
    started = time.perf_counter()
    try:
        yield
    finally:
        if record is not None:
            inside_s = sum(record.steps_s.values()) - inside_s
            record.add_step(name, max(0.0, time.perf_counter() - started - inside_s))


@contextmanager
def observing_steps(observe: Callable[[str, float], None]) -> Iterator[None]:
    """Report each step's duration to `observe` at the end, and add it to the enclosing record."""
    steps_s: StepTimes = {}
    try:
        with collecting_steps(steps_s):
            yield
    finally:
        record = _current.get()
        for name, seconds in steps_s.items():
            observe(name, seconds)
            if record is not None:
                record.add_step(name, seconds)


@contextmanager
def waiting_for(work_s: StepTimes) -> Iterator[None]:
    """Measure a wait for work in another thread: its steps, and the `wait` before it began.

    A request that joins in the middle waits for the rest only, so its steps never sum up to more
    than its wait.

    Args:
        work_s: the steps of the work; complete when the wait is over.
    """
    started = time.perf_counter()
    try:
        yield
    finally:
        left_s = time.perf_counter() - started
        record = current_record()
        for name, seconds in reversed(work_s.items()):
            share_s = min(seconds, left_s)
            record.add_step(name, share_s)
            left_s -= share_s
        record.add_step("wait", left_s)


def harmless_project(project: str) -> str | None:
    """Return a project as Label Studio names it, and nothing else that a body may hold."""
    return project if PROJECT.fullmatch(project) else None


def accepted_id(sent: str | None) -> str:
    """Return the id that a client gave its request if it is short and harmless, else a new one."""
    return sent if sent and HARMLESS_ID.fullmatch(sent) else secrets.token_hex(8)
