"""A task's data, looked up by the keys that a labeling config has: `image`, `pages[1].url`."""

import re
from typing import Any

_STEP = re.compile(r"[^.\[\]]+")
_INDEX = re.compile(r"[0-9]{1,9}")


def find_value(data: Any, key: str) -> Any:
    """Return what a key means in a task's data, None if nothing; a field of just that name first.

    Args:
        data: of the task.
        key: a field, or a way into one: `.name` into an object, `[number]` into a list.
    """
    if not isinstance(data, dict):
        return None
    if key in data:
        return data[key]
    found: Any = data
    for step in _STEP.findall(key):
        if isinstance(found, dict):
            found = found.get(step)
        elif isinstance(found, list) and _INDEX.fullmatch(step) and int(step) < len(found):
            found = found[int(step)]
        else:
            return None
    return found
