"""Which Label Studio answers at an address, and whom a token logs in."""

import json

from backend.errors import LabelStudioError
from backend.label_studio import SHORT_LIVED, LabelStudio
from backend.transport import (
    ERROR_BYTES,
    BodyTooLargeError,
    Deadline,
    TransportError,
    exchange,
    on_one_line,
    without_secrets,
)

VERSION_TIMEOUT_S = 10.0


def read_version(server: LabelStudio) -> str:
    """Ask for Label Studio's version, which needs no token.

    Raises:
        LabelStudioError: nothing answers there, or something else does.
    """
    status, place = "a long page", ""
    try:
        answer = exchange(
            "GET",
            f"{server.url}/api/version/",
            deadline=Deadline(VERSION_TIMEOUT_S),
            max_bytes=ERROR_BYTES,
        )
        status, place = str(answer.status), without_secrets(answer.headers.get("Location", ""))
        release = json.loads(answer.body)["release"]
    except TransportError as error:
        raise server.unreachable(str(error)) from None
    except (BodyTooLargeError, ValueError, TypeError, LookupError):
        to = f", a redirect to {place}" if place else ""
        raise LabelStudioError(
            f"what answers at {without_secrets(server.url)} is no Label Studio "
            f"({status} to /api/version/{to})",
            remedy="set LABEL_STUDIO_URL (or --url) to the address of its pages, up to where "
            "/projects begins",
        ) from None
    return on_one_line(str(release))


def read_user(server: LabelStudio) -> str:
    """Ask whom the token logs in.

    Returns:
        The user's e-mail address.

    Raises:
        LabelStudioError: the token is refused, or not one that lasts.
    """
    user = server.get_json("/api/current-user/whoami")
    if server.token_kind == SHORT_LIVED:
        raise LabelStudioError(
            "LABEL_STUDIO_API_KEY is a short-lived access token, which ends within minutes",
            remedy="set it to the personal access token that this one was exchanged for",
        )
    return on_one_line(str(user.get("email") or user.get("username") or "a user"))
