"""COCO images and annotations -> Label Studio tasks, for the controls that a project has."""

import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np

from backend.core.errors import DatasetError
from backend.core.outputs import OUTPUTS
from backend.datasets.coco_reader import CocoAnnotation, CocoImage
from backend.labeling.config import LabelingConfig, MaskControl
from backend.labeling.regions import labelled_results, mask_shapes, rectangle_shape

# Colours that are told apart, on photographs and from one another; labels take them in turn.
COLORS = (
    *("#2ecc40", "#ff851b", "#0074d9", "#f012be", "#ffdc00", "#7fdbff", "#ff4136", "#b10dc9"),
    *("#01ff70", "#a0522d", "#39cccc", "#85144b"),
)
MODEL_VERSION = "coco"  # of imported predictions


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

    Raises:
        DatasetError: no control of the config takes objects, they are of several images, or
            there is a Repeater.
    """

    def __init__(self, config: LabelingConfig, output: str, kind: Kind) -> None:
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
        self._kind = kind

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
                results += self._results(annotation, image, number)
            except DatasetError as error:
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
        shapes = _shapes(annotation, control.output, image.size_hw)
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

    def _control(self, annotation: CocoAnnotation) -> MaskControl:
        """The control that an object goes to: one that loses nothing of it, if there is one."""
        taking = [control for control in self._controls if control.takes((annotation.label,))]
        if not annotation.has_mask:  # only a box
            taking.sort(key=lambda control: control.output != "rectangle")
        elif len(annotation.rings) != 1:  # a polygon holds one part, without holes
            taking.sort(key=lambda control: control.output == "polygon")
        return taking[0]


def _shapes(
    annotation: CocoAnnotation, output: str, size_hw: tuple[int, int]
) -> list[dict[str, Any]]:
    """What a control stores of an object; several shapes only where they are polygons."""
    if output == "polygon" and annotation.rings:
        height, width = size_hw
        to_pct = 100 / np.array([width, height])
        rings = [np.reshape(ring, (-1, 2)) for ring in annotation.rings]
        return [{"points": (ring * to_pct).tolist(), "closed": True} for ring in rings]
    if output == "rectangle":
        return [rectangle_shape(annotation.box(size_hw), size_hw)]
    return mask_shapes(annotation.mask(size_hw), output, polygon_tolerance_px=0)
