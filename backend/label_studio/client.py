"""Label Studio as this service reaches it: its address, its token, its API."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, NamedTuple, TypeVar

from backend.core.errors import LabelStudioError, LabelStudioRefusalError
from backend.core.text import on_one_line, without_secrets
from backend.core.units import MEGABYTE
from backend.label_studio.authorization import Authorization, token_kind
from backend.label_studio.refusals import LONGEST_DETAIL, refusal_detail, refusal_remedy
from backend.label_studio.server_faults import ServerFaults
from backend.transport.addresses import NetworkPolicy
from backend.transport.json_body import JsonAnswerError, decode_json, encode_json
from backend.transport.transport import (
    Answer,
    BodyTooLargeError,
    Deadline,
    TransportError,
    close_kept_connections,
    exchange,
)
from backend.transport.urls import MAX_REDIRECTS, REDIRECTS, path_below, redirect_target

T = TypeVar("T")

API_TIMEOUT_S = 60.0  # and the time that what is sent takes on a slow line
SLOWEST_UPLOAD_BYTES_S = 64 * 1024  # 0.5 Mbit/s
API_BYTES = 64 * MEGABYTE
BYTES_PER_CONTAINER = 12  # as in the points of polygons; smaller ones are all but memory


class AnswerTooLargeError(LabelStudioError):
    """Label Studio's API answered with more bytes than are read."""


class LabelStudio:
    """One Label Studio server and a token for it. Safe under threads.

    Images and calls of the API go out by the same rules: see `ask`.

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
        reach: NetworkPolicy | None = None,
    ) -> None:
        self.url = url
        self.reach = reach or NetworkPolicy.to(url)
        self.faults = ServerFaults(
            url,
            token_kind(token),
            url_is_set=url_is_set,
            token_is_set=token_is_set,
            may_quote=self.reach.seen_at is None,  # else anybody may have named it
        )
        self._authorization = Authorization(url, token, self.reach, self.faults)

    @property
    def token_kind(self) -> str:
        """What kind of token it is, in Label Studio's words."""
        return self.faults.token_kind

    def get_json(
        self,
        path: str,
        kind: type[T] = Any,  # type: ignore[assignment]  # else what the API answers, as it is
        *,
        task: str = "",
        timeout_s: float = API_TIMEOUT_S,
        max_bytes: int = API_BYTES,
    ) -> T:
        """Get what the API answers; a redirect below the base address is followed.

        Args:
            path: below the base address, with its query.
            kind: the type of the answer: fields that it does not name are skipped.
            task: what it is asked to do, continuing "asked to", for the errors.
            timeout_s: of the whole call.
            max_bytes: largest answer.

        Raises:
            LabelStudioRefusalError: it took the call for a wrong one (4xx), and did nothing.
            AnswerTooLargeError: more than `max_bytes`.
            LabelStudioError: it refused otherwise, did not answer, or not with JSON of this kind.
        """
        call = _Call("GET", path, task, timeout_s, max_bytes)
        return self._read(call, self._call(call), kind)

    def post_json(
        self,
        path: str,
        payload: Any,
        kind: type[T] = Any,  # type: ignore[assignment]
        *,
        task: str = "",
        timeout_s: float = API_TIMEOUT_S,
    ) -> T:
        """Send JSON to the API, once, and return what it answers; raises like `get_json`."""
        return self._send("POST", path, payload, kind, task, timeout_s)

    def patch_json(
        self,
        path: str,
        payload: Any,
        kind: type[T] = Any,  # type: ignore[assignment]
        *,
        task: str = "",
    ) -> T:
        """Change some fields of what is at a path; raises like `get_json`."""
        return self._send("PATCH", path, payload, kind, task, API_TIMEOUT_S)

    def delete(self, path: str, *, task: str = "") -> None:
        """Delete what is at a path, unless somebody was faster; raises like `get_json`."""
        self._call(_Call("DELETE", path, task, API_TIMEOUT_S, API_BYTES))

    def upload(
        self,
        path: str,
        files: Sequence[tuple[str, bytes]],
        kind: type[T],
        *,
        task: str,
    ) -> T:
        """Send files, named and once, and return what the API answers; raises like `get_json`."""
        size = sum(len(content) for _, content in files)
        timeout_s = API_TIMEOUT_S + size / SLOWEST_UPLOAD_BYTES_S
        call = _Call("POST", path, task, timeout_s, API_BYTES)
        return self._read(call, self._call(call, files=files), kind)

    def ask(
        self,
        method: str,
        url: str,
        *,
        deadline: Deadline,
        max_bytes: int,
        body: bytes | None = None,
        files: Sequence[tuple[str, bytes]] = (),
    ) -> Answer:
        """Send one request with the token, and once more with a new one after a 401.

        A token never leaves the base address, whatever the server or a task says.

        Args:
            method: such as GET.
            url: below the base address.
            deadline: of the exchange, and of one for an access token.
            max_bytes: largest body of a 2xx.
            body: JSON.
            files: sent as a form in place of it.

        Returns:
            The answer, which may be a redirect or a refusal, but no 401.

        Raises:
            LabelStudioError: no token is known, it is refused, or the URL is elsewhere.
            TransportError: no complete answer came.
            BodyTooLargeError: more than `max_bytes`.
        """
        if path_below(self.url, url) is None:
            raise self.faults.redirected(url)
        refused = None
        for _ in range(2):
            sent = self.authorization(deadline=deadline, refused=refused)
            if sent == refused:
                break
            answer = exchange(
                method,
                url,
                deadline=deadline,
                max_bytes=max_bytes,
                reach=self.reach,
                headers={"Authorization": sent},
                body=body,
                files=files,
            )
            if answer.status != HTTPStatus.UNAUTHORIZED:
                return answer
            refused = sent
        raise self.faults.refused(answer)

    def close(self) -> None:
        """Close the connections that are kept for the next call."""
        close_kept_connections()

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

    def _send(
        self, method: str, path: str, payload: Any, kind: type[T], task: str, timeout_s: float
    ) -> T:
        body = encode_json(payload)
        timeout_s += len(body) / SLOWEST_UPLOAD_BYTES_S
        call = _Call(method, path, task, timeout_s, API_BYTES)
        return self._read(call, self._call(call, body=body), kind)

    def _call(
        self, call: "_Call", *, body: bytes | None = None, files: Sequence[tuple[str, bytes]] = ()
    ) -> Answer:
        """Carry out a call.

        Returns:
            Its answer of 2xx; for a DELETE also a 404.
        """
        url, deadline = self.url + call.path, Deadline(call.timeout_s)
        try:
            for _ in range(1 + MAX_REDIRECTS):
                answer = self.ask(
                    call.method,
                    url,
                    deadline=deadline,
                    max_bytes=call.max_bytes,
                    body=body,
                    files=files,
                )
                location = answer.headers.get("Location")
                if answer.status not in REDIRECTS or not location:
                    break
                try:
                    place = redirect_target(url, location)
                except ValueError:
                    raise self.faults.redirected(location) from None
                if call.method != "GET" or path_below(self.url, place) is None:
                    raise self.faults.redirected(place)
                url = place
        except TransportError as error:
            task = call.task or f"answer {call}"
            raise self.faults.unreachable(error, task=task) from None
        except BodyTooLargeError:
            raise AnswerTooLargeError(
                f"Label Studio at {without_secrets(self.url)} answered {call} with more than "
                f"{call.max_bytes // MEGABYTE} MB",
                remedy="make what it answers smaller",
            ) from None
        is_gone = call.method == "DELETE" and answer.status == HTTPStatus.NOT_FOUND
        if 200 <= answer.status < 300 or is_gone:
            return answer
        raise self._refusal(call, answer)

    def _read(self, call: "_Call", answer: Answer, kind: type[T]) -> T:
        try:
            most = call.max_bytes // BYTES_PER_CONTAINER
            return decode_json(answer.body or b"null", kind, max_containers=most)
        except JsonAnswerError as error:
            raise LabelStudioError(
                f"Label Studio at {without_secrets(self.url)} answered {call} "
                f"with other JSON than expected ({error})",
                remedy="check that a Label Studio answers there, and no other program or proxy: "
                "python -m backend check",
            ) from None

    def _refusal(self, call: "_Call", answer: Answer) -> LabelStudioError:
        try:
            detail = refusal_detail(decode_json(answer.body, dict[str, Any]))
        except JsonAnswerError:
            detail = ""
        detail = detail or answer.body.decode(errors="replace")
        kind = LabelStudioRefusalError if 400 <= answer.status < 500 else LabelStudioError
        said = on_one_line(detail[:LONGEST_DETAIL].rstrip(".")) or "without a reason"
        return kind(
            f"Label Studio at {without_secrets(self.url)} answered {answer.status} to {call}"
            + (f": {said}" if self.faults.may_quote else ""),
            remedy=refusal_remedy(answer.status, detail),
        )


class _Call(NamedTuple):
    method: str
    path: str
    task: str
    timeout_s: float
    max_bytes: int

    def __str__(self) -> str:
        """For messages: without the query, which may be long."""
        place = self.path.partition("?")[0]
        return f"{place}, asked to {self.task}" if self.task else place
