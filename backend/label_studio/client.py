"""Label Studio as this service reaches it: its address, its token, its API."""

import functools
import json
import logging
from http import HTTPStatus
from typing import Any
from urllib.parse import urljoin

import httpx
from label_studio_sdk.client import LabelStudio as ApiClient

from backend.core.errors import LabelStudioError, LabelStudioRefusalError
from backend.core.text import on_one_line, without_secrets
from backend.core.units import MEGABYTE
from backend.label_studio.api_faults import refusal_remedy
from backend.label_studio.authorization import Authorization, token_kind
from backend.label_studio.server_faults import ServerFaults
from backend.transport.addresses import Reach
from backend.transport.transport import (
    ERROR_BYTES,
    Answer,
    BodyTooLargeError,
    Deadline,
    TransportError,
    exchange,
    origin,
)

API_TIMEOUT_S = 60.0
API_BYTES = 64 * MEGABYTE  # of an answer of a Label Studio that no setting names

# Their INFO and DEBUG lines quote whole URLs and the headers of answers.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)


class _RepeatingClient(httpx.Client):
    """Sends a GET again, once, if the connection was cut: the server may have ended a kept one."""

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        try:
            return super().send(request, **options)
        except (httpx.RemoteProtocolError, httpx.ReadError):
            if request.method != "GET":
                raise
            return super().send(request, **options)


class LabelStudio:
    """One Label Studio server and a token for it. Safe under threads.

    Images and the SDK's client in `api` are authorized alike.

    Args:
        url: base address, with the base path if there is one, without a slash at its end.
        token: legacy token or personal access token; None if none is known.
        url_is_set: whether `url` is LABEL_STUDIO_URL; else a /setup request named it.
        token_is_set: whether `token` is LABEL_STUDIO_API_KEY; else a /setup request brought it.
        reach: where it may be, and the images that it leads to; anywhere if not given, but no
            private address besides its own.

    Attributes:
        faults: what to say when it does not answer as it should.
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
        self.faults = ServerFaults(
            url, token_kind(token), url_is_set=url_is_set, token_is_set=token_is_set
        )
        self._authorization = Authorization(url, token, self.reach, self.faults)

    @functools.cached_property
    def _http(self) -> httpx.Client:
        return _RepeatingClient(
            auth=self._authorization,
            timeout=API_TIMEOUT_S,
            follow_redirects=True,
            event_hooks={"response": [self._stay]},
        )

    @functools.cached_property
    def api(self) -> ApiClient:
        """The SDK's client for this server, authorized as `authorization` says."""
        # The SDK wants a key and would exchange it by itself; `auth` replaces what it sends.
        # Its retries would repeat changes that were carried out, though no good answer came.
        return ApiClient(
            base_url=self.url, api_key="replaced", httpx_client=self._http, max_retries=0
        )

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
            raise self.faults.redirected(place)

    @property
    def token_kind(self) -> str:
        """What kind of token it is, in Label Studio's words."""
        return self.faults.token_kind

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
        """Delete what is at a path, unless somebody was faster; raises like `get_json`."""
        self._json("DELETE", path)

    def _json(
        self, method: str, path: str, payload: Any = None, timeout_s: float | None = None
    ) -> Any:
        place = path.partition("?")[0]
        try:
            if self.faults.url_is_set and timeout_s is None:
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
            if method == "DELETE" and answer.status == HTTPStatus.NOT_FOUND:
                return None
        except (httpx.HTTPError, TransportError, BodyTooLargeError, ValueError) as error:
            raise self.faults.unreachable(f"did not answer {place} ({error})") from error
        answer = Answer(answer.status, answer.headers, answer.body[:ERROR_BYTES])
        if answer.status == HTTPStatus.UNAUTHORIZED:
            raise self.faults.refused(answer)
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
        return self._authorization.header(deadline=deadline, refused=refused)
