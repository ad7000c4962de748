"""Label Studio's JSON_MIN export: flat records, brought back to annotations with results.

A record is one annotation: the task's data, and for each control a list of bare values. The types,
the ids and the pairing of shapes with a shared `<Labels>` are not in it, but can be told from the
values: a labelled control's value holds its labels under its type, and a shared label's value
repeats the shape that it belongs to, or stands at its place in the list.
"""

import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

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
    "vectorlabels",
)
# What answers to a question about one region hold, beside that region's shape.
QUESTION_MARKS = frozenset(("choices", "text", "rating", "number", "taxonomy", "datetime"))
AMBIGUOUS = "ambiguous labels"  # a type of result: of labels that may be any region's
# The field of a value that tells its shape, the surest first.
SHAPE_MARKS = {
    "rle": "brush",
    "imageDataURL": "bitmask",
    "points": "polygon",
    "vertices": "vector",
    "radiusX": "ellipse",
    "height": "rectangle",
    "x": "keypoint",
}


def join_records(records: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Make tasks of records, as a JSON export has them.

    Args:
        records: of the export, with ids, in its order: a task's annotations follow one another.
    """
    for task_id, group in itertools.groupby(records, key=lambda record: record["id"]):
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
    # Of the shapes that a shared <Labels> labels, by their geometry and which one of several
    # equal ones of a control it is.
    ids: dict[tuple[str, int], str] = {}
    bare_labels: list[dict[str, Any]] = []
    bare_controls = set()
    shaped: set[str] = set()
    labelled: dict[str, dict[str, Any]] = {}
    for from_name, values in values_by_control.items():
        equal: Counter[str] = Counter()
        for value in values:
            if QUESTION_MARKS & value.keys():
                continue
            own = next((name for name in OWN_LABELS if name in value), None)
            shape = next((kind for mark, kind in SHAPE_MARKS.items() if mark in value), None)
            if own is None and shape is None:
                bare_labels.append(value)
                continue
            region_id = str(next(numbers))
            if own is None:
                geometry = _geometry(value)
                region_id = ids.setdefault((geometry, equal[geometry]), region_id)
                equal[geometry] += 1
                if "labels" in value:
                    labelled[region_id] = _result(region_id, from_name, shape, value)
                    yield _result(region_id, None, "labels", value)
                    continue
                bare_controls.add(from_name)
                shaped.add(region_id)
            yield _result(region_id, from_name, own or shape, value)
    # A shape that no control of its own repeats.
    yield from (one for region_id, one in labelled.items() if region_id not in shaped)
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
