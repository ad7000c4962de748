"""JSON of requests: bounded before it is parsed, and parsed no further than somebody reads it.

A parser holds Python's lock from the first byte to the last, and with it every other click: 28 MB
of `[],` took 6 s. So lists, objects and values are counted first, which lets others go on; msgspec
finds the fields of a request, ten times as fast as anything that makes objects of what it passes;
and orjson reads those fields, a task at a time.
"""

from typing import Any, Final

import msgspec
import orjson

from backend.core.errors import RequestTooLargeError
from backend.transport.json_body import OPENING, count_bytes

# Of a body, run lengths apart: 100,000 tasks have about half as many.
MAX_CONTAINERS: Final = 1_000_000
MAX_VALUES: Final = 4_000_000
# Of the fields that are parsed at once: 1,000 regions have 5,000.
MAX_CONTAINERS_AT_ONCE: Final = 100_000
MAX_VALUES_AT_ONCE: Final = 2_000_000
# A body that small cannot hold enough of them to be felt.
UNCOUNTED_BYTES: Final = 100_000


class _Fields(msgspec.Struct):
    """What any route reads of a request; all else is passed over."""

    project: msgspec.Raw = msgspec.Raw()
    schema: msgspec.Raw = msgspec.Raw()
    hostname: msgspec.Raw = msgspec.Raw()
    access_token: msgspec.Raw = msgspec.Raw()
    label_config: msgspec.Raw = msgspec.Raw()
    params: msgspec.Raw = msgspec.Raw()
    tasks: msgspec.Raw = msgspec.Raw()


class _Task(msgspec.Struct):
    id: msgspec.Raw = msgspec.Raw()
    data: msgspec.Raw = msgspec.Raw()


def read_fields(body: bytes) -> dict[str, Any]:
    """Read the fields of a request from Label Studio; of its tasks, `id` and `data`.

    Raises:
        RequestTooLargeError: too many lists, objects or values.
        ValueError: it is no JSON object.
    """
    require_few(body, MAX_CONTAINERS, MAX_VALUES)
    fields = {
        name: value if name == "tasks" else read_value(value)
        for name, value in _split(body, _Fields).items()
    }
    if "tasks" in fields:
        fields["tasks"] = _read_tasks(fields["tasks"])
    return fields


def read_value(text: bytes | msgspec.Raw) -> Any:
    """Parse JSON at once.

    Raises:
        RequestTooLargeError: too many lists, objects or values.
        ValueError: it is no JSON.
    """
    view = memoryview(text)
    require_few(view, MAX_CONTAINERS_AT_ONCE, MAX_VALUES_AT_ONCE)
    return orjson.loads(view)


def require_few(body: bytes | memoryview, max_containers: int, max_values: int) -> None:
    """Refuse a body of too many lists and objects, or values; brackets in strings count too.

    Raises:
        RequestTooLargeError: it has more.
    """
    if len(body) <= UNCOUNTED_BYTES:
        return
    for what, marks, most in (
        ("lists and objects", OPENING, max_containers),
        ("values", b",", max_values),
    ):
        if count_bytes(body, marks, enough=most) > most:
            raise RequestTooLargeError(
                f"the request has more than {most} {what}",
                remedy="send less at once",
                reason=f"Request too large: more than {most} {what}",
            )


def _read_tasks(text: msgspec.Raw) -> Any:
    """Return the tasks, or whatever else there is: the caller says what is wrong with it."""
    try:
        tasks = [_split(task, _Task) for task in msgspec.json.decode(text, type=list[msgspec.Raw])]
    except msgspec.ValidationError:
        return None
    return [{name: read_value(value) for name, value in task.items()} for task in tasks]


def _split(text: bytes | msgspec.Raw, kind: type[msgspec.Struct]) -> dict[str, msgspec.Raw]:
    try:
        fields = msgspec.json.decode(text, type=kind)
    except RecursionError:
        raise ValueError("nested too deep") from None
    found = ((name, getattr(fields, name)) for name in kind.__struct_fields__)
    return {name: value for name, value in found if memoryview(value).nbytes}
