"""Which Label Studio answers at an address, and whom a token logs in."""

from http import HTTPStatus

from msgspec import Struct

from backend.core.errors import LabelStudioError
from backend.core.text import on_one_line, without_secrets
from backend.label_studio.authorization import SHORT_LIVED
from backend.label_studio.client import LabelStudio
from backend.transport.json_body import JsonAnswerError, decode_json
from backend.transport.transport import (
    ERROR_BYTES,
    Answer,
    BodyTooLargeError,
    Deadline,
    TransportError,
    exchange,
)

VERSION_TIMEOUT_S = 10.0
WHOAMI = "/api/current-user/whoami"


class _Version(Struct):
    release: str


class _User(Struct):
    email: str | None = None
    username: str | None = None


def read_version(server: LabelStudio) -> str:
    """Ask for Label Studio's version, which needs no token.

    Raises:
        LabelStudioError: nothing answers there, or something else does.
    """
    try:
        version = _ask(server, "/api/version/")
        release = on_one_line(decode_json(version.body, _Version).release)
        # Its version is told at the end of any path, of a page's address too; this one is not.
        if _ask(server, WHOAMI).status != HTTPStatus.NOT_FOUND:
            return release
        said = f"404 to {WHOAMI}"
    except TransportError as error:
        raise server.faults.unreachable(error) from None
    except BodyTooLargeError:
        said = "a long page in place of its version"
    except JsonAnswerError:
        place = without_secrets(version.headers.get("Location", ""))
        to = f", a redirect to {place}" if place else ""
        said = f"{version.status} to /api/version/{to}"
    raise LabelStudioError(
        f"what answers at {without_secrets(server.url)} is no Label Studio ({said})",
        remedy="set LABEL_STUDIO_URL (or --url) to the address of its pages, up to where "
        "/projects begins",
    )


def _ask(server: LabelStudio, path: str) -> Answer:
    return exchange(
        "GET",
        f"{server.url}{path}",
        deadline=Deadline(VERSION_TIMEOUT_S),
        max_bytes=ERROR_BYTES,
        reach=server.reach,
    )


def read_user(server: LabelStudio) -> str:
    """Ask whom the token logs in.

    Returns:
        The user's e-mail address.

    Raises:
        LabelStudioError: the token is refused, or not one that lasts.
    """
    user = server.get_json(WHOAMI, _User)
    if server.token_kind == SHORT_LIVED:
        raise LabelStudioError(
            "LABEL_STUDIO_API_KEY is a short-lived access token, which ends within minutes",
            remedy="set it to the personal access token that this one was exchanged for",
        )
    return on_one_line(user.email or user.username or "a user")
