"""What the page sends, read and checked."""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeGuard

from flask import request

from backend.core.errors import ImageTooLargeError, RequestError
from backend.core.units import MEGABYTE
from backend.service.request_json import read_value
from mobilesam import ObjectPrompt

MAX_POINTS = 200  # of one object
FARTHEST_PX = 1e6  # of a point or a side; no image is that large, and no PNG may be
MAX_OBJECTS = 100  # of one download
MAX_PROMPT_BYTES = MEGABYTE
MAX_DOWNLOAD_BYTES = 64 * MEGABYTE  # runs of all objects, as text
LONGEST_NAME = 200  # of an image's file, in characters


@dataclass(frozen=True)
class DrawnObject:
    """An accepted object: the runs of its mask, and its score."""

    runs: Sequence[int]
    score: float


@dataclass(frozen=True)
class DrawnImage:
    """An image with its accepted objects. `name` is the file's, `size_hw` in pixels as displayed.

    `runs` of the objects may still be of another size.
    """

    name: str
    size_hw: tuple[int, int]
    objects: Sequence[DrawnObject]


def read_image_file(max_mb: int) -> bytes:
    """Return the body of the current request, an image file.

    Raises:
        RequestError: it is sent as a form could send it, from any site.
        ImageTooLargeError: it has more than `max_mb` megabytes; it is not read then.
    """
    kind = request.mimetype
    if not kind.startswith("image/") and kind != "application/octet-stream":
        raise RequestError(
            f"an image came as {kind or 'nothing in particular'}",
            remedy="send the file as the body, with 'Content-Type: application/octet-stream'",
            reason="Content-Type is not an image's",
        )
    if (request.content_length or 0) > max_mb * MEGABYTE:
        raise ImageTooLargeError(
            f"the image has more than {max_mb} MB",
            remedy="scale it down, or raise MOBILESAM_MAX_IMAGE_MB",
            reason=f"Image too large: more than {max_mb} MB",
        )
    request.max_content_length = max_mb * MEGABYTE  # also where no length is said
    return request.get_data(cache=False)


def read_prompt() -> tuple[str, ObjectPrompt]:
    """Return the image's id and the prompt of the current request.

    Raises:
        RequestError: the body has another shape.
    """
    body = _json_object(MAX_PROMPT_BYTES)
    points = _field(body, "points", _are_points, f"at most {MAX_POINTS} pairs [x, y]")
    labels = _field(body, "labels", _are_labels, "a 1 or 0 for each point")
    box = _field(body, "box", _is_box, "null or [left, top, right, bottom]")
    if len(points) != len(labels):
        raise _wrong("labels", "a 1 or 0 for each point")
    prompt = ObjectPrompt(
        points_xy=tuple((float(x), float(y)) for x, y in points),
        point_labels=tuple(labels),
        box_xyxy=box and (float(box[0]), float(box[1]), float(box[2]), float(box[3])),
    )
    return _field(body, "image", _is_id, "an image's id"), prompt


def read_drawn_image(max_pixels: int) -> DrawnImage:
    """Return the image and the objects of the current request.

    Raises:
        RequestError: the body has another shape, or the image more than `max_pixels`.
    """
    body = _json_object(MAX_DOWNLOAD_BYTES)
    height = _field(body, "height", _is_side, "a number of pixels")
    width = _field(body, "width", _is_side, "a number of pixels")
    if height * width > max_pixels:
        raise _wrong("height", f"such that width times height is {max_pixels} or less")
    objects = _field(body, "objects", _are_objects, f"1 to {MAX_OBJECTS} of {{runs, score}}")
    return DrawnImage(
        name=_field(body, "name", _is_text, "a file's name")[-LONGEST_NAME:],
        size_hw=(height, width),
        objects=[DrawnObject(item["runs"], float(item["score"])) for item in objects],
    )


def _json_object(max_bytes: int) -> dict[str, Any]:
    request.max_content_length = max_bytes
    # Only as JSON: a form of another site's page cannot send that without asking first.
    body: Any = None
    if request.is_json:
        with suppress(ValueError):
            body = read_value(request.get_data(cache=False))
    if not isinstance(body, dict):
        raise RequestError(
            "the request's body is not a JSON object with 'Content-Type: application/json'",
            remedy="send what the page sends: see backend/service/page/playground_routes.py",
            reason="Body is not a JSON object",
        )
    return body


def _field(body: dict[str, Any], name: str, is_right: Callable[[Any], bool], what: str) -> Any:
    value = body.get(name)
    if not is_right(value):
        raise _wrong(name, what)
    return value


def _wrong(name: str, what: str) -> RequestError:
    return RequestError(
        f"the body's {name!r} is not {what}",
        remedy="send what the page sends: see backend/service/page/playground_routes.py",
        reason=f"Body's {name!r} is not {what}",
    )


def _is_number(value: Any) -> TypeGuard[float]:
    return type(value) in (int, float) and abs(value) <= FARTHEST_PX  # nan is refused too


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value) is not None


def _is_side(value: Any) -> bool:
    return type(value) is int and 0 < value <= FARTHEST_PX


def _is_point(value: Any) -> TypeGuard[list[float]]:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))


def _are_points(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= MAX_POINTS and all(map(_is_point, value))


def _are_labels(value: Any) -> bool:
    return isinstance(value, list) and all(
        type(label) is int and label in (0, 1) for label in value
    )


def _is_box(value: Any) -> bool:
    if value is None:
        return True
    if not isinstance(value, list) or len(value) != 4 or not all(map(_is_number, value)):
        return False
    left, top, right, bottom = value
    return bool(left < right and top < bottom)


def _are_objects(value: Any) -> bool:
    return (
        isinstance(value, list)
        and 1 <= len(value) <= MAX_OBJECTS
        and all(
            isinstance(item, dict)
            and isinstance(item.get("runs"), list)
            and _is_number(item.get("score"))
            for item in value
        )
    )
