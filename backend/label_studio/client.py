"""Label Studio as this service reaches it: its address, its tokens, its API client."""

import functools
import json
import logging
import threading
import time
from collections.abc import Generator
from concurrent.futures import Future
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urljoin

import httpx
import jwt
from label_studio_sdk.client import LabelStudio as ApiClient

from backend.errors import LabelStudioError, LabelStudioRefusalError
from backend.fetching.addresses import ForbiddenAddressError, Reach
from backend.fetching.transport import (
    ERROR_BYTES,
    Answer,
    BodyTooLargeError,
    Deadline,
    TransportError,
    exchange,
    on_one_line,
    origin,
    without_secrets,
)
from backend.label_studio.api_faults import refusal_remedy
from backend.settings import MEGABYTE

EXCHANGE_TIMEOUT_S = 10.0
API_TIMEOUT_S = 60.0
API_BYTES = 64 * MEGABYTE  # of an answer of a Label Studio that no setting names
SHORT_LIVED = "short-lived access token"
ACCESS_LIFETIME_S = 300.0
RENEW_BEFORE_S = 30.0

# Their INFO and DEBUG lines quote whole URLs and the headers of answers.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)


class LabelStudio:
    """One Label Studio server and a token for it. Safe under threads.

    The SDK exchanges personal access tokens too, but only for its own calls, by the clock of this
    machine, without a margin, and at a wrong address where Label Studio has a base path. So
    `authorization` does it, for the images and for the SDK's client in `api` alike.

    Args:
        url: base address, with the base path if there is one, without a slash at its end.
        token: legacy token or personal access token; None if none is known.
        url_is_set: whether `url` is LABEL_STUDIO_URL; else a /setup request named it.
        token_is_set: whether `token` is LABEL_STUDIO_API_KEY; else a /setup request brought it.
        reach: where it may be, and the images that it leads to; anywhere if not given, but no
            private address besides its own.
    """

    def __init__(
        self,
        url: str,
        token: str | None,
        *,
        url_is_set: bool = True,
        token_is_set: bool = True,
        reach: Reach | None = None,
    ) -> None:
        self.url = url
        self.reach = reach or Reach.to(url)
        self._token = token
        self._url_is_set = url_is_set
        self._token_is_set = token_is_set
        # "refresh" is a personal access token, "access" what it is exchanged for.
        self._kind = _claims(token or "").get("token_type", "legacy")
        self._lock = threading.Lock()
        self._access: _Access | None = None
        self._running: Future[_Access] | None = None

    @functools.cached_property
    def _http(self) -> httpx.Client:
        return httpx.Client(
            auth=_Authorization(self),
            timeout=API_TIMEOUT_S,
            follow_redirects=True,
            event_hooks={"response": [self._stay]},
        )

    @functools.cached_property
    def api(self) -> ApiClient:
        """The SDK's client for this server, authorized as `authorization` says."""
        # The SDK wants a key and would exchange it by itself; `auth` replaces what it sends.
        return ApiClient(base_url=self.url, api_key="replaced", httpx_client=self._http)

    def _stay(self, response: httpx.Response) -> None:
        """Follow no redirect to another origin: what is sent is meant for this server."""
        if not response.has_redirect_location:
            return
        place = urljoin(str(response.request.url), response.headers["Location"])
        try:
            stays = origin(place) == origin(self.url)
        except ValueError:
            stays = False
        if not stays:
            raise LabelStudioError(
                f"Label Studio at {without_secrets(self.url)} redirects to "
                f"{without_secrets(place)}",
                remedy="if that is Label Studio's right address, set LABEL_STUDIO_URL to it",
                reason="Label Studio redirects elsewhere, set LABEL_STUDIO_URL",
            )

    @property
    def token_kind(self) -> str:
        """What kind of token it is, in Label Studio's words."""
        kinds = {"refresh": "personal access token", "legacy": "legacy token"}
        return kinds.get(self._kind, SHORT_LIVED)

    def get_json(self, path: str, *, timeout_s: float | None = None) -> Any:
        """Get what the API answers, as it is: the SDK's models take seconds for a page of masks.

        Args:
            path: below the base address, with its query.
            timeout_s: of the whole call; if not given, a minute for each step of it.

        Raises:
            LabelStudioRefusalError: it took the call for a wrong one (4xx), and did nothing.
            LabelStudioError: it refused otherwise, or did not answer with JSON.
        """
        return self._json("GET", path, timeout_s=timeout_s)

    def post_json(self, path: str, payload: Any) -> Any:
        """Send JSON to the API and return what it answers; raises like `get_json`."""
        return self._json("POST", path, payload)

    def patch_json(self, path: str, payload: Any) -> Any:
        """Change some fields of what is at a path; raises like `get_json`."""
        return self._json("PATCH", path, payload)

    def delete(self, path: str) -> None:
        """Delete what is at a path; raises like `get_json`."""
        self._json("DELETE", path)

    def _json(
        self, method: str, path: str, payload: Any = None, timeout_s: float | None = None
    ) -> Any:
        place = path.partition("?")[0]
        try:
            if self._url_is_set and timeout_s is None:
                response = self._http.request(
                    method, self.url + path, json=payload, timeout=API_TIMEOUT_S
                )
                answer = Answer(response.status_code, response.headers, response.content)
            else:  # bounded as a whole; and what /setup named is reached as far as its images are
                answer = exchange(
                    method,
                    self.url + path,
                    deadline=Deadline(timeout_s or API_TIMEOUT_S),
                    max_bytes=API_BYTES,
                    reach=self.reach,
                    headers={"Authorization": self.authorization()},
                    payload=payload,
                )
            if 200 <= answer.status < 300:
                return json.loads(answer.body) if answer.body else None
        except (httpx.HTTPError, TransportError, BodyTooLargeError, ValueError) as error:
            raise self.unreachable(f"did not answer {place} ({error})") from error
        answer = Answer(answer.status, answer.headers, answer.body[:ERROR_BYTES])
        if answer.status == HTTPStatus.UNAUTHORIZED:
            raise self.refused(answer)
        said = answer.field("detail") or answer.body.decode(errors="replace") or "without a reason"
        kind = LabelStudioRefusalError if 400 <= answer.status < 500 else LabelStudioError
        raise kind(
            f"Label Studio at {without_secrets(self.url)} answered {answer.status} to {place}: "
            + on_one_line(said[:500].rstrip(".")),
            remedy=refusal_remedy(answer.status, said),
        )

    def close(self) -> None:
        """Close the connections of `api`, which cannot be used after that."""
        self._http.close()

    def authorization(self, *, deadline: Deadline | None = None, refused: str | None = None) -> str:
        """Make the value of the Authorization header for a request to this server.

        A personal access token is exchanged for an access token, which is good for 300 s and kept;
        once, however many threads ask, and again shortly before it ends.

        Args:
            deadline: ends the exchange; 10 s from now if not given.
            refused: a value from here that was answered 401. It comes back if there is no other.

        Raises:
            LabelStudioError: no token is known, or the exchange failed.
        """
        if self._token is None:
            raise LabelStudioError(
                f"no token for Label Studio at {without_secrets(self.url)} is known",
                remedy=self._token_remedy(),
                reason="no token for Label Studio, set LABEL_STUDIO_API_KEY",
            )
        if not _is_sendable(self._token):
            raise LabelStudioError(
                f"the token for Label Studio at {without_secrets(self.url)} from "
                f"{self._token_source} holds characters that no token has",
                remedy=self._token_remedy(),
                reason=f"damaged token from {self._token_source}, set LABEL_STUDIO_API_KEY",
            )
        if self._kind != "refresh":
            return f"{'Token' if self._kind == 'legacy' else 'Bearer'} {self._token}"
        return self._current_access(deadline or Deadline(EXCHANGE_TIMEOUT_S), refused).header

    def refused(self, answer: Answer) -> LabelStudioError:
        """Explain a 401 of this server."""
        detail = on_one_line((answer.field("detail") or "without a reason")[:200])
        remedy = self._token_remedy()
        short = f"{'check' if self._token_is_set else 'set'} LABEL_STUDIO_API_KEY"
        if "legacy token authentication has been disabled" in detail:
            remedy += ", or turn legacy tokens on (Organization > API Tokens Settings)"
            if self._token_is_set:
                short = "LABEL_STUDIO_API_KEY is a legacy token, these are off"
        return LabelStudioError(
            f"Label Studio at {without_secrets(self.url)} answered 401 ({detail}) "
            f"to the {self.token_kind} from {self._token_source}",
            remedy=remedy,
            reason=f"401 from Label Studio, {short}",
        )

    def unreachable(self, why: str | TransportError) -> LabelStudioError:
        """Explain that this server did not answer as it should.

        Args:
            why: what it did, continuing a sentence that starts with its address.
        """
        in_short = why.in_short if isinstance(why, ForbiddenAddressError) else why
        seen = "its address as seen from this service (in a container, localhost is the container)"
        if self._url_is_set:
            remedy, short = f"check that it runs and that LABEL_STUDIO_URL is {seen}", "check"
        else:
            remedy, short = f"set LABEL_STUDIO_URL to {seen}, and LABEL_STUDIO_API_KEY", "set"
        return LabelStudioError(
            f"Label Studio at {without_secrets(self.url)} {why}",
            remedy=remedy,
            reason=f"Label Studio {in_short}, {short} LABEL_STUDIO_URL",
        )

    @property
    def _token_source(self) -> str:
        return "LABEL_STUDIO_API_KEY" if self._token_is_set else "/setup"

    def _token_remedy(self) -> str:
        url = "" if self._url_is_set else "LABEL_STUDIO_URL to Label Studio's address and "
        return (
            f"set {url}LABEL_STUDIO_API_KEY to a personal access token "
            "(Label Studio's Account & Settings page)"
        )

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
            raise self.unreachable(f"did not answer within {deadline.seconds:g} s") from None

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
                f"{self.url}/api/token/refresh/",
                deadline=deadline,
                max_bytes=ERROR_BYTES,
                reach=self.reach,
                payload={"refresh": self._token},
            )
        except TransportError as error:
            raise self.unreachable(error) from None
        except BodyTooLargeError:
            raise self.unreachable("gave no access token but a long page") from None
        if answer.status == 401:
            raise self.refused(answer)
        token = answer.field("access")
        if token is None or not _is_sendable(token):
            place = without_secrets(answer.headers.get("Location", ""))
            to = f" to {place}" if place else ""
            raise self.unreachable(f"gave no access token but a {answer.status}{to}")
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


class _Authorization(httpx.Auth):
    """`LabelStudio.authorization` for the SDK's calls, with one more try after a 401."""

    def __init__(self, server: LabelStudio) -> None:
        self._server = server

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response]:
        sent = self._server.authorization()
        request.headers["Authorization"] = sent
        response = yield request
        if response.status_code == 401:
            renewed = self._server.authorization(refused=sent)
            if renewed != sent:
                request.headers["Authorization"] = renewed
                yield request


def _is_sendable(token: str) -> bool:
    return token.isascii() and token.isprintable()


def _claims(token: str) -> dict[str, Any]:
    """What a token says of itself; nothing if it is no JWT, as legacy tokens are none."""
    try:
        claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    except (jwt.InvalidTokenError, UnicodeError):
        return {}
    return claims
