"""A click as an annotator would make it, for any labeling config and any image."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from pycocotools import mask as coco_masks

from backend.core.errors import BackendError, ImageError
from backend.datasets.labelled_regions import LabelledRegion, read_regions
from backend.datasets.region_shapes import region_rle
from backend.label_studio.client import LabelStudio
from backend.label_studio.ml_backends import ask_backend
from backend.labeling.config import ImageTag, LabelingConfig, PromptControl
from backend.labeling.task_data import find_value

# Percent of the image's sides. Where the middle shows nothing, another place may.
PLACES_PCT = ((50.0, 50.0), (33.0, 33.0), (67.0, 33.0), (33.0, 67.0), (67.0, 67.0))
BOX_PCT = 50.0  # sides of a box around such a place
ALPHA = 127  # as in exports: a pixel is on the object where its alpha is greater
MAX_PIXELS = 2**28  # of an answer; no editor draws more


class Target(NamedTuple):
    """What is clicked: a task's image, with a control that prompts, and a label that masks take."""

    task: dict[str, Any]
    tag: ImageTag
    control: PromptControl
    labels: tuple[str, ...]

    def prompts(self, place_pct: tuple[float, float]) -> list[dict[str, Any]]:
        """The regions that the editor would send for a click, or a box, around this place."""
        x, y = place_pct
        value: dict[str, Any] = {"x": x, "y": y, "width": 0.2}
        region: dict[str, Any] = {
            "id": "test-click",
            "from_name": self.control.name,
            "to_name": self.control.to_name,
            "image_rotation": 0,
            "origin": "manual",
        }
        if isinstance(find_value(self.task["data"], self.tag.data_key), list):
            region["item_index"] = 0
        if self.control.region_type.startswith("keypoint"):
            region["is_positive"] = True
        else:
            side = min(BOX_PCT, 2 * x, 2 * y, 2 * (100 - x), 2 * (100 - y))
            value = {"x": x - side / 2, "y": y - side / 2, "width": side, "height": side}
            value["rotation"] = 0
        own = self.control.region_type.endswith("labels")
        labels = {self.control.region_type: list(self.labels)} if own else {}
        shape = {**region, "type": self.control.region_type, "value": value | labels}
        if own or self.control.labels_control is None:
            return [shape]
        # A <Labels> config sends the shape and its labels as two results with one id.
        labelled = value | {"labels": list(self.labels)}
        name = self.control.labels_control
        return [shape, {**region, "type": "labels", "from_name": name, "value": labelled}]


def find_target(config: LabelingConfig, task: dict[str, Any]) -> Target:
    """Choose what to click in a task: key points rather than rectangles.

    Args:
        config: of the project; usable.
        task: with `id` and `data`.

    Raises:
        LabelingConfigError: the config is not usable.
        ImageError: a Repeater shows nothing of this task.
    """
    config.require_usable()
    shown = config.of_task(task["data"])
    if not shown.images:
        raise ImageError(
            f"task {task['id']} has no item in {config.repeaters[0].data_key!r}, for which the "
            "labeling config's Repeater shows images",
            remedy="import a task with at least one",
        )
    smart = [control for control in shown.prompt_controls if control.is_smart]
    smart.sort(key=lambda control: not control.region_type.startswith("keypoint"))
    return next(
        Target(task, shown.images[control.to_name], control, labels)
        for control in smart
        for labels in shown.known_labels(control)
    )


class Mask(NamedTuple):
    """What came back: how many pixels of the image it covers; none where nothing was seen."""

    area_px: int
    places: int


def click_through_label_studio(
    server: LabelStudio,
    backend_id: int,
    target: Target,
    places_pct: Sequence[tuple[float, float]] = PLACES_PCT,
) -> Mask:
    """Click through Label Studio's API, as the browser does, until a mask comes back.

    Args:
        server: where the task is.
        backend_id: of Label Studio's record of the backend.
        target: what to click.
        places_pct: where, in percent; the next one if nothing was seen at one.

    Raises:
        BackendError: a click failed, or its answer is damaged.
    """
    for number, place in enumerate(places_pct, 1):
        regions = ask_backend(server, backend_id, target.task["id"], target.prompts(place))
        if area_px := regions_area_px(regions):
            return Mask(area_px, number)
    return Mask(0, len(places_pct))


def regions_area_px(regions: list[dict[str, Any]]) -> int:
    """How many pixels of their image regions cover, whatever they are.

    Raises:
        BackendError: one is damaged.
    """
    rles = [region_rle(region, alpha=ALPHA, max_pixels=MAX_PIXELS) for region in _shapes(regions)]
    return int(coco_masks.area(coco_masks.merge(rles))) if rles else 0


def _shapes(regions: list[dict[str, Any]]) -> Iterator[LabelledRegion]:
    for region in read_regions(regions):
        if isinstance(region, BackendError):
            raise region
        yield region
