"""COCO images and annotations -> Label Studio tasks, for the controls that a project has."""

import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
from pycocotools import mask as coco_masks

from backend.codecs.coco_rle import fill_rings
from backend.core.errors import DatasetError, MaskError
from backend.core.outputs import OUTPUTS
from backend.datasets.coco_reader import CocoAnnotation, CocoImage
from backend.labeling.config import LabelingConfig, MaskControl, PromptControl
from backend.labeling.regions import labelled_results, mask_shapes, rectangle_shape

# Colours that are told apart, on photographs and from one another; labels take them in turn.
COLORS = (
    *("#2ecc40", "#ff851b", "#0074d9", "#f012be", "#ffdc00", "#7fdbff", "#ff4136", "#b10dc9"),
    *("#01ff70", "#a0522d", "#39cccc", "#85144b"),
)
MODEL_VERSION = "coco"  # of imported predictions
KEY_POINT_PCT = 0.5  # how large it is drawn, of the image's width

Control = MaskControl | PromptControl


class Kind(enum.StrEnum):
    """As what an image's objects come in."""

    ANNOTATIONS = "annotations"
    PREDICTIONS = "predictions"


def make_labeling_config(categories: Sequence[Mapping[str, Any]], output: str) -> str:
    """Make the XML of a project in which the categories can be clicked, boxed and refined.

    The tools share one list of labels: three lists of eighty would hide the image.

    Args:
        categories: of the COCO file; their ids and supercategories stay with the labels, so that
            an export has them again.
        output: what masks are, one of `core.outputs.OUTPUTS`; beside rectangles are brushes.
    """
    labels = [
        f"    <Label value={quoteattr(category['name'])} category={quoteattr(str(category['id']))}"
        f" supercategory={quoteattr(category['supercategory'])}"
        f' background="{COLORS[index % len(COLORS)]}"/>'
        for index, category in enumerate(categories)
    ]
    tag = {"bitmask": "Bitmask", "polygon": "Polygon"}.get(output, "Brush")
    return "\n".join(
        [
            "<View>",
            '  <Image name="image" value="$image" zoom="true"/>',
            '  <Labels name="label" toName="image">',
            *labels,
            "  </Labels>",
            '  <KeyPoint name="point" toName="image" smart="true"/>',
            '  <Rectangle name="box" toName="image" smart="true"/>',
            f'  <{tag} name="mask" toName="image" smart="false"/>',
            "</View>\n",
        ]
    )


class TaskMaker:
    """Makes tasks for one labeling config.

    Args:
        config: of the project.
        output: what objects become, one of `OUTPUTS`, if the config has a control for it.
        kind: as what they come.
        max_pixels: largest mask that is drawn.

    Raises:
        DatasetError: no control of the config takes objects, they are of several images, or
            there is a Repeater.
    """

    def __init__(self, config: LabelingConfig, output: str, kind: Kind, *, max_pixels: int) -> None:
        if config.repeaters:
            raise DatasetError(
                "the labeling config has a Repeater, and a task of COCO is one image",
                remedy="give a config without one",
            )
        self._controls = [
            control
            for wanted in dict.fromkeys((output, *OUTPUTS))
            for control in config.mask_controls
            if control.output == wanted
        ]
        images = {control.to_name for control in self._controls}
        if len(images) != 1:
            raise DatasetError(
                "the labeling config has "
                + ("controls on several images" if images else "no control that takes objects"),
                remedy="give one with one Image tag and a control for brushes, bitmasks, polygons "
                "or rectangles",
            )
        self._image = config.images[images.pop()]
        self._points = [
            control
            for control in config.prompt_controls
            if control.region_type.startswith("keypoint") and control.to_name == self._image.name
        ]
        self._output = output
        self._kind = kind
        self._max_pixels = max_pixels

    def require_labels(self, labels: Iterable[str]) -> None:
        """See that every label has a control.

        Raises:
            DatasetError: names those that have none.
        """
        unknown = [label for label in labels if not any(c.takes((label,)) for c in self._controls)]
        if unknown:
            raise DatasetError(
                f"the labeling config has no label {', '.join(map(repr, unknown))}",
                remedy="add them to Settings > Labeling Interface, or import into a --new project",
            )

    def make(self, image: CocoImage, url: str, problems: list[str]) -> dict[str, Any]:
        """Make the task of an image.

        Args:
            image: with its annotations.
            url: for the task's data.
            problems: takes what cannot be converted.

        Returns:
            A task as Label Studio's import takes it.
        """
        height, width = image.size_hw
        results: list[dict[str, Any]] = []
        scores = []
        for number, annotation in enumerate(image.annotations, 1):
            try:
                results += list(self._results(annotation, image, number))
            except (DatasetError, MaskError) as error:
                problems.append(f"{image.file_name}: {error}")
            else:
                scores += [] if annotation.score is None else [annotation.score]
        task: dict[str, Any] = {
            "data": {self._image.data_key: url},
            "meta": {"coco": {"file_name": image.file_name, "width": width, "height": height}},
        }
        if not results:  # nobody has said that there is nothing on it
            return task
        if self._kind is Kind.ANNOTATIONS:
            task["annotations"] = [{"result": results, "ground_truth": False}]
        else:
            prediction: dict[str, Any] = {"result": results, "model_version": MODEL_VERSION}
            if scores:
                prediction["score"] = float(np.mean(scores))
            task["predictions"] = [prediction]
        return task

    def _results(
        self, annotation: CocoAnnotation, image: CocoImage, number: int
    ) -> Iterator[dict[str, Any]]:
        height, width = image.size_hw
        control = self._control(annotation)
        shapes = self._shapes(annotation, control, image.size_hw)
        for part, shape in enumerate(shapes, 1):
            common: dict[str, Any] = {
                "id": f"coco-{number}" + (f"-{part}" if len(shapes) > 1 else ""),
                "to_name": control.to_name,
                "original_width": width,
                "original_height": height,
                "image_rotation": 0,
            }
            if annotation.score is not None:
                common["score"] = annotation.score
            if annotation.is_crowd:
                common["meta"] = {"coco": {"iscrowd": 1}}
            yield from labelled_results(control, common, shape, (annotation.label,))

    def _control(self, annotation: CocoAnnotation) -> Control:
        """The control that an object goes to: one that loses nothing of it, if there is one."""
        if annotation.key_point is not None:
            points = [one for one in self._points if annotation.label in (one.labels or ())]
            if not points:
                raise _stays(annotation, "is a key point", "has none with its label")
            return points[0]
        taking = [control for control in self._controls if control.takes((annotation.label,))]
        if not annotation.has_mask:  # only a box
            taking.sort(key=lambda control: control.output != "rectangle")
            return taking[0]
        if self._output != "rectangle":
            taking = [control for control in taking if control.output != "rectangle"]
        if not taking:
            raise _stays(annotation, "has a mask", "takes only boxes of its label")
        if self._output != "polygon" and len(annotation.rings) != 1:
            # A polygon holds one part, and a hole only as a slit.
            taking.sort(key=lambda control: control.output == "polygon")
        return taking[0]

    def _shapes(
        self, annotation: CocoAnnotation, control: Control, size_hw: tuple[int, int]
    ) -> list[dict[str, Any]]:
        """What a control stores of an object; several shapes only where they are polygons."""
        height, width = size_hw
        if annotation.key_point is not None:
            x, y = annotation.key_point
            return [{"x": x / width * 100, "y": y / height * 100, "width": KEY_POINT_PCT}]
        output = control.region_type.removesuffix("labels")
        if output == "rectangle":
            box = annotation.box(size_hw, max_pixels=self._max_pixels)
            return [rectangle_shape(box, size_hw)]
        if not annotation.has_mask or output != "polygon" or annotation.rle is not None:
            mask = annotation.mask(size_hw, max_pixels=self._max_pixels)
            if not mask.any():
                raise _empty(annotation)
            return mask_shapes(np.ascontiguousarray(mask), output, polygon_tolerance_px=0)
        if not coco_masks.area(fill_rings(annotation.rings, size_hw)):
            raise _empty(annotation)
        to_pct = 100 / np.array([width, height])
        rings = [np.reshape(ring, (-1, 2)) for ring in annotation.rings]
        return [{"points": (ring * to_pct).tolist(), "closed": True} for ring in rings]


def _empty(annotation: CocoAnnotation) -> DatasetError:
    return DatasetError(
        f"annotation {annotation.id}: it covers no pixel", remedy="correct the COCO file"
    )


def _stays(annotation: CocoAnnotation, what: str, why: str) -> DatasetError:
    return DatasetError(
        f"annotation {annotation.id} {what}, and the labeling config {why}",
        remedy="add a control for it, or choose another --shape",
    )
