"""The regions of an interactive request -> the prompts that they are."""

import reprlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from backend.core.errors import PromptError, RequestError
from backend.labeling.config import PROMPT_KINDS, LabelingConfig
from backend.labeling.prompts import NO_LENGTH_PCT, Point, Prompt, Rectangle

# Percent that are on the image, but for rounding; what lies outside is clipped.
ON_IMAGE = (-1.0, 101.0)
# No percentage or angle is larger; keeps infinity out.
FAR = 1e6
# Of one region; what a click holds is remembered for a while.
MOST_LABELS = 100
LONGEST_LABELS = 10_000  # characters, together
SEND_AS_EDITOR = "send the region as Label Studio's editor does"


def read_prompts(
    regions: Sequence[Any], config: LabelingConfig, *, output: str = "auto"
) -> list[Prompt]:
    """Group the regions of an interactive request into the objects that they ask for.

    All points with the same image, page and labels are one object. Each rectangle is an object of
    its own, in the order sent. Label Studio never mixes the two; if another client does, points
    refine the rectangle that they lie in (the last one sent, if several), and negative points
    outside refine the last rectangle unless positive ones outside make an object.

    Left out are regions of other kinds, those of controls that are not smart, and key points
    without `is_positive`, which are plain ones. A plain rectangle of a smart control looks exactly
    like a smart one, so it gets a mask too. Left out as well are rectangles that were answers
    themselves and were accepted (they have a score): Label Studio sends them along with the next
    one that is drawn, or alone when one is moved. Nothing to do is what has only those, or no
    region at all.

    Args:
        regions: `params.context.result` of /predict.
        config: the project's labeling config.
        output: which output is preferred, as for `LabelingConfig.mask_control`.

    Raises:
        RequestError: a region lacks a field, or has one of another type.
        PromptError: a number cannot be placed on the image, the Image tag is unknown, or regions
            came and none is a prompt.
        LabelingConfigError: the config lacks the controls that prompts need.
    """
    if regions:
        config.require_usable()
    smart = {control.name: control.is_smart for control in config.prompt_controls}
    sent = [_Region(region, index) for index, region in enumerate(regions)]
    # A <Labels> config sends a shape and its labels as two regions with one id.
    shared_labels: dict[str | int | None, Any] = {
        region.id: region.value.get("labels")
        for region in sent
        if region.type == "labels" and region.id is not None
    }
    has_answers = False
    objects: dict[Prompt, tuple[list[Rectangle], list[Point]]] = {}
    for region in sent:
        kind = PROMPT_KINDS.get(region.type)
        is_plain_point = kind == "point" and "is_positive" not in region.fields
        if kind is None or is_plain_point or not smart.get(region.text("from_name"), True):
            continue
        empty = _empty_prompt(region, shared_labels.get(region.id), config)
        if "score" in region.fields and region.text("from_name") == (
            config.mask_control(empty.to_name, empty.labels, output=output).name
        ):
            has_answers = True
            continue
        rectangles, points = objects.setdefault(empty, ([], []))
        if kind == "point":
            points.append(_point(region))
        else:
            rectangles.append(_rectangle(region))
    if sent and not objects and not has_answers:
        types = reprlib.repr(sorted({region.type for region in sent}))
        raise PromptError(
            f"no region of the context is a prompt, their types are {types}: only key points with "
            "is_positive and rectangles prompt, and only those of controls without smart='false'",
            remedy="turn Auto-Annotation on and use a smart key point or rectangle",
            reason="Only key points and rectangles of smart controls prompt",
        )
    return [
        prompt
        for empty, (rectangles, points) in objects.items()
        for prompt in _separate(empty, rectangles, points)
    ]


class _Region:
    """A region of the context, read with errors that name it and the field."""

    def __init__(self, fields: Any, index: int) -> None:
        if not isinstance(fields, dict):
            raise RequestError(
                f"region {index} of the context is {reprlib.repr(fields)}, not an object",
                remedy=SEND_AS_EDITOR,
                reason="A region of the context is not an object",
            )
        self.fields = fields
        found = fields.get("id")
        self.id = found if isinstance(found, str | int) else None
        self.name = f"region {reprlib.repr(fields.get('id', index))}"

    @property
    def type(self) -> str:
        return self.text("type")

    @property
    def value(self) -> dict[str, Any]:
        value = self.fields.get("value")
        if not isinstance(value, dict):
            raise self.wrong("value", value, "not an object")
        return value

    def text(self, field: str) -> str:
        value = self.fields.get(field)
        if not isinstance(value, str):
            raise self.wrong(field, value, "not a string")
        return value

    def number(self, field: str, low: float = -FAR, high: float = FAR) -> float:
        number = self.value.get(field)
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise self.wrong(f"value.{field}", number, "not a number")
        if not low <= number <= high:  # nan neither
            raise PromptError(
                f"{self.name}: value.{field} is {number}, not between {low:g} and {high:g}",
                remedy="send positions and sizes in percent, 0 to 100, of the image as displayed",
                reason=f"Prompt's {field} is not between {low:g} and {high:g}",
            )
        return float(number)

    @property
    def image_aspect(self) -> float:
        """Width / height of the image; 1 if the client did not give them."""
        width, height = self.fields.get("original_width"), self.fields.get("original_height")
        if not (isinstance(width, int | float) and isinstance(height, int | float)):
            return 1.0
        return width / height if 0 < width <= FAR and 0 < height <= FAR else 1.0

    def wrong(self, field: str, value: Any, expected: str) -> RequestError:
        return RequestError(
            f"{self.name}: {field} is {reprlib.repr(value)}, {expected}",
            remedy=SEND_AS_EDITOR,
            reason=f"A region's {field} is {expected}",
        )


def _empty_prompt(region: _Region, shared_labels: Any, config: LabelingConfig) -> Prompt:
    """Read what all shapes of one object have in common."""
    to_name = region.text("to_name")
    if to_name not in config.images:
        raise PromptError(
            f"{region.name}: to_name is {to_name!r}, and the labeling config's images are "
            + ", ".join(map(repr, config.images)),
            remedy="send the name of an Image tag that takes its image from the task",
            reason="Prompt names an unknown Image tag",
        )
    labels = _labels(region, shared_labels)
    item_index = region.fields.get("item_index")
    if item_index is not None and (type(item_index) is not int or item_index < 0):
        raise region.wrong("item_index", item_index, "not the number of a page")
    image_rotation = region.fields.get("image_rotation", 0)
    if type(image_rotation) not in (int, float) or not -360 <= image_rotation <= 360:
        raise region.wrong("image_rotation", image_rotation, "not degrees")
    return Prompt(to_name, item_index, tuple(labels), image_rotation)


def _labels(region: _Region, shared_labels: Any) -> list[str]:
    candidates = (region.value.get(region.type), region.value.get("labels"), shared_labels)
    for labels in candidates:
        if labels is not None and not (
            isinstance(labels, list) and all(isinstance(label, str) for label in labels)
        ):
            raise region.wrong("labels", labels, "not a list of strings")
    labels = next((labels for labels in candidates if labels), [])
    if len(labels) > MOST_LABELS or sum(map(len, labels)) > LONGEST_LABELS:
        raise PromptError(
            f"{region.name} has {len(labels)} labels of {sum(map(len, labels))} characters, more "
            f"than {MOST_LABELS} or {LONGEST_LABELS} characters",
            remedy="prompt with fewer or shorter labels",
            reason="Prompt has too many labels",
        )
    return labels


def _point(region: _Region) -> Point:
    is_positive = region.fields["is_positive"]
    if not isinstance(is_positive, bool):
        raise region.wrong("is_positive", is_positive, "not true or false")
    return Point(region.number("x", *ON_IMAGE), region.number("y", *ON_IMAGE), is_positive)


def _rectangle(region: _Region) -> Rectangle:
    rotation_deg = region.number("rotation") if "rotation" in region.value else 0.0
    # The three-point tool can put a turned rectangle's corners outside the image.
    low, high = (-FAR, FAR) if rotation_deg % 360 else ON_IMAGE
    x_pct, y_pct = region.number("x", low, high), region.number("y", low, high)
    width_pct = region.number("width", 0, high - x_pct)
    height_pct = region.number("height", 0, high - y_pct)
    if min(width_pct, height_pct) < NO_LENGTH_PCT:
        raise PromptError(
            f"{region.name} has no area: it is {width_pct:g} percent wide and {height_pct:g} high",
            remedy="drag the rectangle over the object",
            reason="Rectangle has no area",
        )
    return Rectangle(
        x_pct, y_pct, width_pct, height_pct, rotation_deg, region.image_aspect, region.name
    )


def _separate(empty: Prompt, rectangles: list[Rectangle], points: list[Point]) -> list[Prompt]:
    """Give each rectangle its points; what is left of the points is one more object."""
    refining: list[list[Point]] = [[] for _ in rectangles]
    loose: list[Point] = []
    for point in points:
        around = [n for n, rectangle in enumerate(rectangles) if rectangle.holds(point)]
        (refining[around[-1]] if around else loose).append(point)
    if rectangles and not any(point.is_positive for point in loose):
        refining[-1] += loose
        loose = []
    prompts = [
        replace(empty, rectangle=rectangle, points=tuple(inside))
        for rectangle, inside in zip(rectangles, refining, strict=True)
    ]
    return [*prompts, replace(empty, points=tuple(loose))] if loose else prompts
