"""What a refusal of Label Studio's API means, and what to do about it."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httpx
from label_studio_sdk.core.api_error import ApiError

from backend.core.errors import LabelStudioError
from backend.core.text import on_one_line, without_secrets
from backend.transport.transport import Answer, BodyTooLargeError, TransportError

if TYPE_CHECKING:
    from backend.label_studio.client import LabelStudio

LONGEST_DETAIL = 500
NOT_REACHED = "health check failed"  # in what Label Studio says of a backend's address
SET_BASIC_AUTH = (
    "set BASIC_AUTH_USER and BASIC_AUTH_PASS here to those that the backend was started with"
)

_ALLOW_PRIVATE = (
    "start Label Studio with LABEL_STUDIO_USE_DEFAULT_BANNED_SUBNETS=false, "
    "so that it accepts backends on private addresses"
)
_REACH = (
    "start the backend if it does not run (python -m backend serve); if it does, give the address "
    "at which Label Studio reaches it: from a container that is http://backend:9090 in our compose "
    "file, or http://host.docker.internal:9090 for a backend on the host, which must not listen "
    "on 127.0.0.1 only (MOBILESAM_HOST)"
)
_KEPT = (
    "leave the controls that annotations use as they are, or take a new project: Label Studio "
    "takes no labeling config that existing annotations do not fit"
)

# Words of Label Studio 1.23, and the remedy; the first that fits.
_REMEDIES = (
    ("reserved network address", _ALLOW_PRIVATE),
    ("authentication parameters were", SET_BASIC_AUTH),
    ("Reason: 401", SET_BASIC_AUTH),
    (NOT_REACHED, _REACH),
    ("doesn't look like a valid ML backend", "mend what that line names, and try again"),
    ("incompatible with provided labeling schema", _KEPT),
    ("you can't remove it", _KEPT),
)


@contextmanager
def explained(server: "LabelStudio", task: str) -> Iterator[None]:
    """Turn what the SDK and the transport raise into an error that says what to do.

    Args:
        server: that is asked.
        task: what it is asked to do, continuing "asked to".

    Raises:
        LabelStudioError: it refused, or did not answer.
    """
    try:
        yield
    except ApiError as error:
        status = error.status_code or 0
        detail = on_one_line(refusal_detail(error.body))
        if status == HTTPStatus.UNAUTHORIZED:
            raise server.faults.refused(Answer(status, {}, _as_bytes(error.body))) from error
        raise LabelStudioError(
            f"Label Studio at {without_secrets(server.url)} answered {status} "
            f"({detail}) when asked to {task}",
            remedy=refusal_remedy(status, detail),
        ) from error
    except (httpx.HTTPError, TransportError, BodyTooLargeError) as error:
        raise server.faults.unreachable(f"did not {task} ({error})") from error


def refusal_detail(body: Any) -> str:
    """What Label Studio's JSON error says, without markup; the body itself if it is none."""
    if not isinstance(body, dict):
        return str(body)[:LONGEST_DETAIL]
    said = [str(body.get("detail", ""))]
    for errors in (body.get("validation_errors") or {}).values():
        said += map(str, errors if isinstance(errors, list) else [errors])
    text = re.sub(r"<a [^>]*>|</a>", "", "; ".join(said))
    return text.replace("Validation error; ", "").strip("; ")


def refusal_remedy(status: int, detail: str) -> str:
    """What to do about an answer with this status and detail."""
    for words, remedy in _REMEDIES:
        if words in detail:
            return remedy
    if status == HTTPStatus.FORBIDDEN:
        return "use the token of a user who may change the project"
    if status == HTTPStatus.NOT_FOUND:
        return "check the project's number: it stands in the address of its pages"
    return "mend what it names and try again"


def _as_bytes(body: Any) -> bytes:
    if isinstance(body, dict):
        return json.dumps(body).encode()
    return str(body).encode()
