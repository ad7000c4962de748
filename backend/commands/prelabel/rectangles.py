"""The rectangles that a task has already, as prompts: from its annotations or its predictions."""

import enum
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from backend.commands.prelabel.versions import is_prelabelled
from backend.core.errors import RegionError
from backend.datasets.annotation_choice import AnnotationChoice
from backend.datasets.labelled_regions import LabelledRegion, read_regions
from backend.datasets.labelled_tasks import LabelledTask
from backend.labeling.config import LabelingConfig
from backend.labeling.prompts import NO_LENGTH_PCT, Prompt, Rectangle


class Source(enum.StrEnum):
    """Where a task's rectangles come from."""

    AUTO = "auto"
    ANNOTATIONS = "annotations"
    PREDICTIONS = "predictions"


def rectangle_prompts(
    task: LabelledTask, source: Source, config: LabelingConfig
) -> Iterator[Prompt | RegionError]:
    """Read a task's rectangles, each of them a prompt.

    Of several annotations the one that was changed last counts, skipped ones never do; of several
    predictions the latest that has rectangles and is not from here.

    Args:
        task: with annotations and predictions.
        source: which of these; AUTO: annotations, or predictions where they have no rectangle.
        config: of the project.

    Yields:
        Prompts, and an error in place of each rectangle that cannot be read.
    """
    for region in _rectangles(task, source):
        try:
            yield region if isinstance(region, RegionError) else _prompt(region, config)
        except RegionError as error:
            yield error


def _rectangles(task: LabelledTask, source: Source) -> list[LabelledRegion | RegionError]:
    found: list[LabelledRegion | RegionError] = []
    if source is not Source.PREDICTIONS:
        _, chosen = AnnotationChoice().choose(task)
        found = [region for one in chosen for region in _of_result(one.get("result"))]
    if not found and source is not Source.ANNOTATIONS:
        foreign = [
            prediction
            for prediction in task.predictions
            if isinstance(prediction, dict)
            and not is_prelabelled(prediction)
            and _of_result(prediction.get("result"))
        ]
        only_these = replace(task, annotations=[], predictions=foreign)
        _, chosen = AnnotationChoice(predictions=True).choose(only_these)
        found = [region for one in chosen for region in _of_result(one.get("result"))]
    return found


def _of_result(results: Any) -> list[LabelledRegion | RegionError]:
    """Read the rectangles of a result; what else is damaged in it is none of our business."""
    if not isinstance(results, list):
        return []
    objects = [result for result in results if isinstance(result, dict)]
    # As text: whatever stands there can be compared.
    ids = {str(result.get("id")) for result in objects if _is_rectangle(result)}
    parts = [
        result
        for result in objects
        if _is_rectangle(result)
        or (result.get("type") == "labels" and str(result.get("id")) in ids)
    ]
    return list(read_regions(parts))


def _is_rectangle(result: dict[str, Any]) -> bool:
    return result.get("type") in ("rectangle", "rectanglelabels")


def _prompt(region: LabelledRegion, config: LabelingConfig) -> Prompt:
    if region.to_name is None or region.to_name not in config.images:
        raise region.fault(f"the labeling config has no image {region.to_name!r}")
    width_pct, height_pct = region.number("width"), region.number("height")
    if min(width_pct, height_pct) < NO_LENGTH_PCT:
        raise region.fault("it has no area")
    height, width = region.size_hw
    rectangle = Rectangle(
        region.number("x"),
        region.number("y"),
        width_pct,
        height_pct,
        region.number("rotation", 0),
        image_aspect=width / height,
        region=f"rectangle {region.id!r}",
    )
    return Prompt(region.to_name, region.item_index, region.labels, 0, rectangle=rectangle)
