"""What a refusal of Label Studio's API means, and what to do about it."""

import re
from http import HTTPStatus
from typing import Any

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


def refusal_detail(body: dict[str, Any]) -> str:
    """What Label Studio's JSON error says, without markup; nothing if it is none."""
    said = [str(body.get("detail", ""))]
    validation_errors = body.get("validation_errors")
    for errors in validation_errors.values() if isinstance(validation_errors, dict) else ():
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
