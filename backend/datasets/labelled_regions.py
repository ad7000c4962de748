"""The regions of an annotation: Label Studio's results, joined by id and read once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backend.core.errors import RegionError
from backend.datasets.json_min import AMBIGUOUS

# The shapes that a data set can hold. A region's type is its shape, with "labels" behind it where
# its control has labels of its own.
SHAPES = ("brush", "bitmask", "polygon", "rectangle", "ellipse", "keypoint")
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
        number = self.value.get(field, default)
        if type(number) not in (int, float) or not abs(number) < float("inf"):
            raise self.fault(f"its {field} is {number!r}, not a number")
        return float(number)

    def fault(self, why: str) -> RegionError:
        """An error that names the region."""
        return RegionError(f"{self.shape} region {self.id!r}: {why}", remedy=REMEDY)


def read_regions(results: Any) -> Iterator[LabelledRegion | RegionError]:
    """Join the results of one annotation to its regions, in their order.

    A `<Labels>` config keeps shape and labels in two results under one id. Results without a shape
    (choices, texts, relations) are no regions.

    Args:
        results: the `result` of an annotation, draft or prediction.

    Yields:
        Regions, and an error in place of each that cannot be read.
    """
    if not isinstance(results, list):
        yield RegionError("an annotation's result is no list", remedy=REMEDY)
        return
    joined: dict[str, list[dict[str, Any]]] = {}
    for index, result in enumerate(results):
        if not isinstance(result, dict):
            yield RegionError(f"result number {index + 1} is no object", remedy=REMEDY)
        elif isinstance(result.get("value"), dict):
            joined.setdefault(str(result.get("id") or f"number {index + 1}"), []).append(result)
        elif _shape(result) is not None:  # others, such as relations, have none
            yield RegionError(f"{_shape(result)} {result.get('id')!r} has no value", remedy=REMEDY)
    for region_id, parts in joined.items():
        shaped = [part for part in parts if _shape(part) is not None]
        if any(part.get("type") == AMBIGUOUS for part in parts):
            yield RegionError(
                f"the label of region {region_id} cannot be told from the others'",
                remedy="export the project as JSON instead of JSON_MIN",
            )
        elif shaped:
            try:
                yield _region(region_id, shaped[0], parts)
            except RegionError as error:
                yield error


def _shape(result: Mapping[str, Any]) -> str | None:
    shape = str(result.get("type")).removesuffix("labels")
    return shape if shape in SHAPES else None


def _region(
    region_id: str, result: Mapping[str, Any], parts: Sequence[Mapping[str, Any]]
) -> LabelledRegion:
    size_hw = result.get("original_height"), result.get("original_width")
    shape = _shape(result) or ""
    meta = result.get("meta")
    coco = meta.get("coco") if isinstance(meta, dict) else None
    score: Any = result.get("score")
    item_index = result.get("item_index")
    region = LabelledRegion(
        id=region_id,
        shape=shape,
        value=result["value"],
        labels=tuple(dict.fromkeys(label for part in parts for label in _labels(part))),
        to_name=result.get("to_name"),
        item_index=item_index if isinstance(item_index, int) else None,
        size_hw=size_hw,  # type: ignore[arg-type]  # checked below
        score=float(score) if type(score) in (int, float) else None,
        is_prompt=shape == "keypoint" and "is_positive" in result,
        coco=coco if isinstance(coco, dict) else {},
    )
    if not all(type(side) is int and 0 < side <= MAX_SIDE_PX for side in size_hw):
        height, width = size_hw
        raise region.fault(f"its image's height {height!r} and width {width!r} are no pixels")
    return region


def _labels(result: Mapping[str, Any]) -> list[str]:
    value = result["value"]
    labels = value.get(str(result.get("type"))) or value.get("labels") or []
    return [str(label) for label in labels] if isinstance(labels, list) else [str(labels)]
