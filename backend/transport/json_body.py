"""JSON bodies: written for a request, and read from an answer into a type, within bounds.

A parser makes up to 25 bytes of memory from each byte of `[],[],[],...`. So containers are counted
before anything is parsed, and msgspec keeps only the fields that a type names.
"""

import json
from typing import Any, TypeVar

import msgspec
import numpy as np

T = TypeVar("T")

MOST_CONTAINERS = 5_000_000
CHUNK_BYTES = 2**20
OPENING = b"[{"  # of lists and objects


class JsonAnswerError(Exception):
    """A body is not the JSON that was expected; the text says where, and quotes none of it."""


def encode_json(value: Any) -> bytes:
    """Write JSON without blanks.

    Raises:
        ValueError: it holds NaN or Infinity.
    """
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def decode_json(body: bytes, kind: type[T], *, max_containers: int = MOST_CONTAINERS) -> T:
    """Read JSON into a type: fields that it does not name are skipped, wrong ones refused.

    Args:
        body: in UTF-8. The parser bounds its depth.
        kind: such as a `msgspec.Struct`.
        max_containers: most lists and objects.

    Raises:
        JsonAnswerError: it is malformed, of another type, too deep, or has too many containers.
    """
    if count_bytes(body, OPENING, enough=max_containers) > max_containers:
        raise JsonAnswerError(f"more than {max_containers} lists and objects")
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise JsonAnswerError(str(error)) from None
    except RecursionError:
        raise JsonAnswerError("nested too deep") from None


def count_bytes(body: bytes | memoryview, marks: bytes, *, enough: int) -> int:
    """Count the bytes that are one of `marks`, in strings too; no further than `enough`.

    Python's lock is free meanwhile.
    """
    count = 0
    for start in range(0, len(body), CHUNK_BYTES):
        chunk = np.frombuffer(body, np.uint8, min(CHUNK_BYTES, len(body) - start), start)
        count += sum(int(np.count_nonzero(chunk == mark)) for mark in marks)
        if count > enough:
            break
    return count
