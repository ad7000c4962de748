"""The backend that runs, as anything that can reach it over HTTP sees it."""

import base64
import re
import time
from dataclasses import dataclass
from typing import Any

from msgspec import Struct, ValidationError, convert

from backend.core.errors import BackendError
from backend.core.text import on_one_line, without_secrets
from backend.core.units import MEGABYTE
from backend.label_studio.ml_backends import BasicAuth
from backend.label_studio.refusals import SET_BASIC_AUTH
from backend.transport.addresses import NetworkPolicy
from backend.transport.json_body import JsonAnswerError, decode_json, encode_json
from backend.transport.transport import (
    Answer,
    BodyTooLargeError,
    Deadline,
    TransportError,
    exchange,
)

HEALTH_TIMEOUT_S = 3.0
CLICK_TIMEOUT_S = 100.0  # Label Studio waits as long
LARGEST_ANSWER = 64 * MEGABYTE


@dataclass(frozen=True)
class Health:
    """What /health says of the model."""

    model_version: str
    weights: str
    device: str
    runtime: str
    precision: str


@dataclass(frozen=True)
class ClickAnswer:
    """The answer to one click, and how long it took: as a whole, and each step that is named."""

    regions: list[dict[str, Any]]
    ms: float
    steps_ms: dict[str, float]
    request_id: str | None


class _Result(Struct):
    result: list[dict[str, Any]]


class RunningService:
    """The backend at an address.

    Args:
        url: of the backend, as this process reaches it.
        basic_auth: what it asks for, if it does.
    """

    def __init__(self, url: str, basic_auth: BasicAuth | None) -> None:
        self.url = url.rstrip("/")
        self._headers: dict[str, str] = {}
        if basic_auth is not None:
            secret = base64.b64encode(f"{basic_auth.user}:{basic_auth.password}".encode())
            self._headers["Authorization"] = f"Basic {secret.decode()}"

    def health(self) -> Health:
        """Ask what runs there.

        Raises:
            BackendError: nothing, or something else.
        """
        try:
            answer = self._exchange("GET", "/health", Deadline(HEALTH_TIMEOUT_S))
        except TransportError as error:
            raise BackendError(
                f"the backend at {without_secrets(self.url)} {error}",
                remedy="start it (python -m backend serve), or name its address with --backend-url",
            ) from None
        fields = _json_object(answer)
        if answer.status != 200 or fields.get("model_class") != "MobileSAM":
            raise BackendError(
                f"what answers at {without_secrets(self.url)} is no MobileSAM backend "
                f"({answer.status} to /health)",
                remedy="name the backend's address with --backend-url, "
                "or end what has taken its port",
            )
        names = ("model_version", "weights", "device", "runtime", "precision")
        return Health(**{name: on_one_line(str(fields.get(name, "unknown"))) for name in names})

    def click(
        self, task: dict[str, Any], project: str, label_config: str, prompts: list[dict[str, Any]]
    ) -> ClickAnswer:
        """Send a click as Label Studio would.

        Args:
            task: with `id` and `data`.
            project: "<id>.<unix time of creation>".
            label_config: the project's XML.
            prompts: regions.

        Raises:
            BackendError: it failed; with the message and the remedy that the service gives.
        """
        body = {
            "tasks": [task],
            "project": project,
            "label_config": label_config,
            "params": {"login": None, "password": None, "context": {"result": prompts}},
        }
        started = time.perf_counter()
        try:
            answer = self._exchange("POST", "/predict", Deadline(CLICK_TIMEOUT_S), body)
        except (TransportError, BodyTooLargeError) as error:
            raise BackendError(
                f"the backend at {without_secrets(self.url)} did not answer a click ({error})",
                remedy="read its log",
            ) from None
        ms = 1000 * (time.perf_counter() - started)
        fields = _json_object(answer)
        try:
            [result] = convert(fields.get("results"), list[_Result])
        except (ValidationError, ValueError):
            raise _failure(answer, fields) from None
        return ClickAnswer(
            regions=result.result,
            ms=ms,
            steps_ms=_steps_ms(answer.headers.get("Server-Timing", "")),
            request_id=answer.headers.get("X-Request-ID"),
        )

    def _exchange(self, method: str, path: str, deadline: Deadline, body: Any = None) -> Answer:
        return exchange(
            method,
            f"{self.url}{path}",
            deadline=deadline,
            max_bytes=LARGEST_ANSWER,
            reach=NetworkPolicy.to(self.url),
            headers=self._headers,
            body=None if body is None else encode_json(body),
        )


def _failure(answer: Answer, fields: dict[str, Any]) -> BackendError:
    error = fields.get("error")
    if not isinstance(error, dict):
        error = {
            "message": f"it answered {answer.status} without a mask or an explanation",
            "remedy": "read its log",
        }
    request_id = answer.headers.get("X-Request-ID")
    name = f" (request {request_id} in its log)" if request_id else ""
    remedy = SET_BASIC_AUTH if answer.status == 401 else on_one_line(str(error.get("remedy")))
    return BackendError(on_one_line(str(error.get("message"))) + name, remedy=remedy)


def _json_object(answer: Answer) -> dict[str, Any]:
    try:
        return decode_json(answer.body, dict[str, Any])
    except JsonAnswerError:
        return {}


def _steps_ms(server_timing: str) -> dict[str, float]:
    """Read `fetch;dur=3.1, encode;desc="...";dur=120`; steps without a duration are left out."""
    found = re.finditer(r"([\w-]+)\s*(?:;[^,;]*)*?;\s*dur=([0-9.]+)", server_timing)
    return {step[1]: float(step[2]) for step in found}
