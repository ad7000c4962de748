"""The regions of an annotation: Label Studio's results, joined by id and read once."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from backend.core.errors import RegionError
from backend.datasets.json_min import AMBIGUOUS

# The shapes that a data set can hold. A region's type is its shape, with "labels" behind it where
# its control has labels of its own.
SHAPES = ("brush", "bitmask", "polygon", "rectangle", "ellipse", "keypoint")
# The types of answers to questions. About one region, they come with its id and a copy of its
# shape, and are neither a region nor its label.
QUESTIONS = frozenset(
    ("choices", "textarea", "rating", "number", "taxonomy", "datetime", "pairwise", "ranker")
)
MAX_SIDE_PX = 1_000_000  # of an image; keeps nonsense from asking for memory

REMEDY = "open the task in Label Studio and draw the region again, or delete it"


@dataclass(frozen=True)
class LabelledRegion:
    """One region: its shape as Label Studio stores it, and what is known of it.

    `size_hw` is the height and width in pixels of the image that it was drawn on; `item_index` the
    page of a list of images. `is_prompt` tells a smart tool's click that was saved with the
    annotation. `coco` is what an imported region kept of its COCO annotation.
    """

    id: str
    shape: str
    value: Mapping[str, Any]
    labels: tuple[str, ...]
    to_name: str | None
    item_index: int | None
    size_hw: tuple[int, int]
    score: float | None
    is_prompt: bool
    coco: Mapping[str, Any]

    def number(self, field: str, default: float | None = None) -> float:
        """A number of the region's value.

        Raises:
            RegionError: it is missing, or no finite number.
        """
        number = finite(self.value.get(field, default))
        if number is None:
            raise self.fault(f"its {field} is {self.value.get(field)!r:.40}, not a number")
        return number

    def fault(self, why: str) -> RegionError:
        """An error that names the region."""
        return RegionError(f"{self.shape} region {self.id!r}: {why}", remedy=REMEDY)


class _Result(Struct):
    """A shape as it stands in a result; sides may be 100.0."""

    value: dict[str, Any]
    original_height: Annotated[float, Meta(ge=1, le=MAX_SIDE_PX, multiple_of=1)]
    original_width: Annotated[float, Meta(ge=1, le=MAX_SIDE_PX, multiple_of=1)]
    to_name: str | None = None
    item_index: int | None = None
    score: Any = None
    meta: Any = None


@dataclass
class _Parts:
    """A region's shape, if that has come yet, and the results that label it."""

    shape: Mapping[str, Any] | None = None
    labels: list[Mapping[str, Any]] = field(default_factory=list)


def read_regions(results: Any) -> Iterator[LabelledRegion | RegionError]:
    """Join the results of one annotation to its regions, in their order.

    A `<Labels>` config keeps shape and labels in two results under one id. Relations and answers
    to questions are no regions. Several shapes with one id, or without any, are as many regions.

    Args:
        results: the `result` of an annotation, draft or prediction.

    Yields:
        Regions, and an error in place of each that cannot be read.
    """
    if not isinstance(results, list):
        yield RegionError("an annotation's result is no list", remedy=REMEDY)
        return
    for number, result in enumerate(results, 1):
        if not isinstance(result, dict):
            yield RegionError(f"result number {number} is no object", remedy=REMEDY)
    for region_id, parts in _joined(results).items():
        for one in parts:
            if any(label.get("type") == AMBIGUOUS for label in one.labels):
                yield RegionError(
                    f"the label of region {region_id} cannot be told from the others'",
                    remedy="export the project as JSON instead of JSON_MIN",
                )
            elif one.shape is not None:
                try:
                    yield _region(region_id, one.shape, one.labels)
                except RegionError as error:
                    yield error


def _joined(results: Sequence[Any]) -> dict[str, list[_Parts]]:
    """Region id -> the shapes that have it, each with its labels."""
    joined: dict[str, list[_Parts]] = {}
    for number, result in enumerate(results, 1):
        if not isinstance(result, dict):
            continue
        given = result.get("id")
        region_id = str(given) if isinstance(given, str | int) and given else f"number {number}"
        if _is_shape(result):
            _put_shape(joined.setdefault(region_id, []), result)
        elif result.get("type") in ("labels", AMBIGUOUS):
            parts = joined.setdefault(region_id, [])
            if not parts:
                parts.append(_Parts())
            # The first shape that has none; several <Labels> may label one.
            next((one for one in parts if not one.labels), parts[-1]).labels.append(result)
    return joined


def finite(number: Any) -> float | None:
    """A JSON number as a float; None if it is none, or beyond what a float holds."""
    if type(number) not in (int, float):
        return None
    try:
        return float(number) if math.isfinite(number) else None
    except OverflowError:
        return None


def _is_shape(result: Mapping[str, Any]) -> bool:
    """Whether a result is a shape, known or not: what is on an image has the image's size."""
    kind = result.get("type")
    if not isinstance(kind, str) or kind in QUESTIONS or kind in ("labels", AMBIGUOUS):
        return False
    return kind.removesuffix("labels") in SHAPES or "original_width" in result


def _put_shape(parts: list[_Parts], result: Mapping[str, Any]) -> None:
    if parts and parts[-1].shape is None:
        parts[-1].shape = result
    else:
        parts.append(_Parts(result))


def _region(
    region_id: str, result: Mapping[str, Any], labelling: Sequence[Mapping[str, Any]]
) -> LabelledRegion:
    kind = str(result["type"])
    shape = kind.removesuffix("labels")
    name = f"{shape} region {region_id!r}"
    if not isinstance(result.get("value"), dict):
        raise RegionError(f"{name} has no value", remedy=REMEDY)
    try:
        read = msgspec.convert(result, _Result)
    except (msgspec.ValidationError, UnicodeError) as error:
        raise RegionError(f"{name}: {error}", remedy=REMEDY) from error
    value: Mapping[str, Any] = read.value
    if shape == "vector":
        shape, value = "polygon", _closed_vector(name, read.value)
    if shape not in SHAPES:
        raise RegionError(
            f"{name}: neither COCO nor YOLO has such a shape",
            remedy="draw it as a mask, a polygon or a rectangle",
        )
    given = (one["value"] for one in labelling if isinstance(one.get("value"), dict))
    labels = [
        read.value.get(kind) or read.value.get("labels"),
        *(one.get("labels") for one in given),
    ]
    coco = read.meta.get("coco") if isinstance(read.meta, dict) else None
    try:
        texts = [text for group in labels for text in msgspec.convert(group or [], list[str])]
    except (msgspec.ValidationError, UnicodeError) as error:
        raise RegionError(f"{name}: its labels: {error}", remedy=REMEDY) from error
    return LabelledRegion(
        id=region_id,
        shape=shape,
        value=value,
        labels=tuple(dict.fromkeys(texts)),
        to_name=read.to_name,
        item_index=read.item_index,
        size_hw=(int(read.original_height), int(read.original_width)),
        score=finite(read.score),
        is_prompt=shape == "keypoint" and "is_positive" in result,
        coco=coco if isinstance(coco, dict) else {},
    )


class _Vertex(Struct):
    x: float
    y: float
    isBezier: bool = False  # noqa: N815 - as Label Studio spells it


def _closed_vector(name: str, value: Mapping[str, Any]) -> Mapping[str, Any]:
    """A vector's outline, if it has one, as a polygon holds it."""
    try:
        vertices = msgspec.convert(value.get("vertices"), list[_Vertex])
    except (msgspec.ValidationError, UnicodeError) as error:
        raise RegionError(f"{name}: its vertices: {error}", remedy=REMEDY) from error
    if value.get("closed") is not True or any(vertex.isBezier for vertex in vertices):
        raise RegionError(
            f"{name} is open or curved, and neither COCO nor YOLO has such a shape",
            remedy="close it with straight sides, or draw it as a mask or a polygon",
        )
    return {"points": [[vertex.x, vertex.y] for vertex in vertices]}
