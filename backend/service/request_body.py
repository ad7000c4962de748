"""Bodies of requests: read at once, parsed without what nobody reads; they may break off."""

import io
import re
from collections.abc import Iterator
from typing import IO, Any

from flask import Request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import ClientDisconnected
from werkzeug.utils import cached_property
from werkzeug.wsgi import get_input_stream

from backend.core.errors import RequestError

MAX_ARRAYS = 10_000  # that are left out of one body
NAME = b'"rle"'
ARRAY = re.compile(rb"\s*:\s*\[")
NO_NUMBERS = (b'"', b"[", b"{")  # that what is in an array is more than numbers


class BodyRequest(Request):
    """Flask's, with a body that comes in one piece, or an error that says how it broke off."""

    @cached_property
    def stream(self) -> IO[bytes]:
        """The body; read at once where its length is said, which Werkzeug does in 64 KiB.

        Raises:
            RequestEntityTooLarge: it says that it has more than `max_content_length` bytes.
            ClientDisconnected: it has fewer than it says.
        """
        bounded = get_input_stream(self.environ, max_content_length=self.max_content_length)
        length = self.content_length
        if not length:
            return bounded
        try:
            body = self.input_stream.read(length)
        except OSError as error:
            raise ClientDisconnected from error
        if len(body) < length:
            raise ClientDisconnected
        return io.BytesIO(body)

    def get_data(self, *args: Any, **named: Any) -> Any:  # flask types it in overloads
        """Read the body, as Flask does.

        Raises:
            RequestError: it does not go on as the HTTP that it began as.
            HTTPException: it is too large, or the client is gone.
        """
        try:
            return super().get_data(*args, **named)
        except ParseException as error:
            raise RequestError(
                f"the request's body breaks off: {type(error).__name__}",
                remedy="send it again; if a proxy is in front, look into its log",
                reason="Body breaks off",
            ) from error


def without_run_lengths(body: bytes) -> bytes:
    """Empty the arrays of numbers that are named "rle" in a JSON text.

    A click brings along all regions of the task's annotations and draft, with masks that may have
    megabytes and that no answer depends on. They go before anything parses them: of 7 MB of them
    orjson makes objects in 243 ms, msgspec passes over them in 30, and this takes 2 (no command).
    What stands between the brackets is therefore not checked. Beyond MAX_ARRAYS they stay.
    """
    pieces = [*_around_run_lengths(body)]
    return b"".join(pieces) if len(pieces) > 1 else body


def _around_run_lengths(body: bytes) -> Iterator[memoryview]:
    view = memoryview(body)
    kept = end = 0
    found = body.find(NAME)
    for _ in range(MAX_ARRAYS):
        if found < 0:
            break
        after = found + len(NAME)
        array = ARRAY.match(body, after)
        if array:
            if end < array.end():  # else it is still the next one: nothing is searched twice
                end = body.find(b"]", array.end())
            if end < 0:
                break
            if not any(body.find(mark, array.end(), end) >= 0 for mark in NO_NUMBERS):
                yield view[kept : array.end()]
                kept = after = end
        found = body.find(NAME, after)
    yield view[kept:]
