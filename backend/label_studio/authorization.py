"""The Authorization header: a legacy token, or an access token for a personal access token."""

import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import jwt

from backend.core.text import without_secrets
from backend.label_studio.server_faults import ServerFaults
from backend.transport.addresses import NetworkPolicy
from backend.transport.json_body import encode_json
from backend.transport.transport import (
    ERROR_BYTES,
    BodyTooLargeError,
    Deadline,
    TransportError,
    exchange,
)

EXCHANGE_TIMEOUT_S = 10.0
# Kinds of tokens, in Label Studio's words.
PERSONAL = "personal access token"
LEGACY = "legacy token"
SHORT_LIVED = "short-lived access token"
ACCESS_LIFETIME_S = 300.0
RENEW_BEFORE_S = 30.0


def token_kind(token: str | None) -> str:
    """Say which kind of token it is; one that is not known counts as a legacy token."""
    said = _claims(token or "").get("token_type", "legacy")
    if said == "legacy":
        return LEGACY
    return PERSONAL if said == "refresh" else SHORT_LIVED


class Authorization:
    """The Authorization header for one Label Studio. Safe under threads.

    Args:
        url: base address of the Label Studio.
        token: as for `LabelStudio`.
        reach: where the exchange may lead.
        faults: its errors.
    """

    def __init__(
        self, url: str, token: str | None, reach: NetworkPolicy, faults: ServerFaults
    ) -> None:
        self._url = url
        self._token = token
        self._reach = reach
        self._faults = faults
        self._lock = threading.Lock()
        self._access: _Access | None = None
        self._running: Future[_Access] | None = None

    def header(self, *, deadline: Deadline | None = None, refused: str | None = None) -> str:
        """Make the header's value, as `LabelStudio.authorization` says."""
        if self._token is None:
            raise self._faults.without_token()
        if not _is_sendable(self._token):
            raise self._faults.damaged_token()
        if self._faults.token_kind == PERSONAL:
            return self._current_access(deadline or Deadline(EXCHANGE_TIMEOUT_S), refused).header
        scheme = "Token" if self._faults.token_kind == LEGACY else "Bearer"
        return f"{scheme} {self._token}"

    def _current_access(self, deadline: Deadline, refused: str | None) -> "_Access":
        with self._lock:
            access = self._access
            if access and access.header != refused and time.monotonic() < access.renew_at:
                return access
            running = self._running
            if mine := running is None:
                running = self._running = Future()
        if mine:
            self._run_exchange(running, deadline)
        try:
            return running.result(timeout=deadline.left())
        except (TimeoutError, TransportError):
            raise self._faults.unreachable(
                f"did not answer within {deadline.seconds:g} s"
            ) from None

    def _run_exchange(self, running: "Future[_Access]", deadline: Deadline) -> None:
        try:
            access = self._exchange(deadline)
        except BaseException as error:
            with self._lock:
                self._running = None
            running.set_exception(error)  # for the threads that wait for this exchange
            raise
        with self._lock:
            self._access, self._running = access, None
        running.set_result(access)

    def _exchange(self, deadline: Deadline) -> "_Access":
        try:
            answer = exchange(
                "POST",
                f"{self._url}/api/token/refresh/",
                deadline=deadline,
                max_bytes=ERROR_BYTES,
                reach=self._reach,
                body=encode_json({"refresh": self._token}),
                is_idempotent=True,  # another access token, and the first still counts
            )
        except TransportError as error:
            raise self._faults.unreachable(error) from None
        except BodyTooLargeError:
            raise self._faults.unreachable("gave no access token but a long page") from None
        if answer.status == 401:
            raise self._faults.refused(answer)
        token = answer.field("access")
        if token is None or not _is_sendable(token):
            place = without_secrets(answer.headers.get("Location", ""))
            to = f" to {place}" if place else ""
            raise self._faults.unreachable(f"gave no access token but a {answer.status}{to}")
        return _Access.issued_now(token)


@dataclass(frozen=True, repr=False)  # no token in a log
class _Access:
    header: str
    renew_at: float  # of time.monotonic()

    @classmethod
    def issued_now(cls, token: str) -> "_Access":
        claims = _claims(token)
        try:  # both times are Label Studio's, whose clock may differ from this machine's
            lifetime_s = float(claims["exp"]) - float(claims["iat"])
        except (KeyError, TypeError, ValueError):
            lifetime_s = ACCESS_LIFETIME_S
        margin_s = min(RENEW_BEFORE_S, lifetime_s / 2)
        return cls(f"Bearer {token}", time.monotonic() + lifetime_s - margin_s)


def _is_sendable(token: str) -> bool:
    return token.isascii() and token.isprintable()


def _claims(token: str) -> dict[str, Any]:
    """What a token says of itself; nothing if it is no JWT, as legacy tokens are none."""
    try:
        claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    except (jwt.InvalidTokenError, UnicodeError):
        return {}
    return claims
