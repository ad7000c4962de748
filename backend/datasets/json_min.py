"""Label Studio's JSON_MIN export: flat records, brought back to annotations with results.

A record is one annotation: the task's data, and for each control a list of bare values. The types,
the ids and the pairing of shapes with a shared `<Labels>` are not in it, but can be told from the
values: a labelled control's value holds its labels under its type, and a shared label's value
repeats the shape that it belongs to, or stands at its place in the list.
"""

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from backend.core.errors import DatasetError

# What a record holds beside the task's data and the controls' values.
RECORD_FIELDS = frozenset(
    ("id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement")
)
OWN_LABELS = (
    "brushlabels",
    "bitmasklabels",
    "polygonlabels",
    "rectanglelabels",
    "ellipselabels",
    "keypointlabels",
)
AMBIGUOUS = "ambiguous labels"  # a type of result: of labels that may be any region's
# The field of a value that tells its shape, the surest first.
SHAPE_MARKS = {
    "rle": "brush",
    "imageDataURL": "bitmask",
    "points": "polygon",
    "radiusX": "ellipse",
    "height": "rectangle",
    "x": "keypoint",
}


def join_records(records: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Make tasks of records, as a JSON export has them.

    Args:
        records: of the export, in its order: a task's annotations follow one another.

    Raises:
        DatasetError: a record has no task id.
    """
    for task_id, group in itertools.groupby(records, key=lambda record: record.get("id")):
        if not isinstance(task_id, int):
            raise DatasetError(
                f"a record of the export has the id {task_id!r}, not the number of a task",
                remedy="give a JSON or JSON_MIN export of Label Studio",
            )
        data: dict[str, Any] = {}
        annotations = []
        for record in group:
            fields = {name: value for name, value in record.items() if name not in RECORD_FIELDS}
            values = {name: value for name, value in fields.items() if _are_regions(value)}
            data |= {name: value for name, value in fields.items() if name not in values}
            if record.get("annotation_id") is not None:
                annotations.append(
                    {
                        "id": record["annotation_id"],
                        "created_at": record.get("created_at"),
                        "updated_at": record.get("updated_at"),
                        "result": list(_results(values)),
                    }
                )
        yield {"id": task_id, "data": data, "annotations": annotations}


def _are_regions(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, dict) and "original_width" in item for item in value)
    )


def _results(values_by_control: dict[str, list[dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    numbers = itertools.count(1)
    ids: dict[str, str] = {}  # of the shapes that a shared <Labels> labels, by their geometry
    bare_labels: list[dict[str, Any]] = []
    bare_controls = set()
    for from_name, values in values_by_control.items():
        for value in values:
            own = next((name for name in OWN_LABELS if name in value), None)
            shape = next((kind for mark, kind in SHAPE_MARKS.items() if mark in value), None)
            if own is None and shape is None:
                bare_labels.append(value)
                continue
            region_id = str(next(numbers))
            if own is None:
                region_id = ids.setdefault(_geometry(value), region_id)
                bare_controls |= set() if "labels" in value else {from_name}
            yield _result(region_id, from_name, own or shape, value)
    # What was imported and not touched since has its labels without the shape, in the same order.
    is_told = len(bare_controls) <= 1 and len(bare_labels) == len(ids)
    for region_id, value in zip(ids.values(), bare_labels, strict=False):
        yield _result(region_id, None, "labels" if is_told else AMBIGUOUS, value)


def _result(
    region_id: str, from_name: str | None, kind: str | None, value: dict[str, Any]
) -> dict[str, Any]:
    return {
        "id": region_id,
        "from_name": from_name,
        "type": kind,
        "original_width": value["original_width"],
        "original_height": value.get("original_height"),
        "value": value,
    }


def _geometry(value: dict[str, Any]) -> str:
    return json.dumps({key: item for key, item in value.items() if key != "labels"}, sort_keys=True)
