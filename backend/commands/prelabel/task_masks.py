"""A task's prompts -> the regions of its prediction."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.core.errors import BackendError, LabelingConfigError, PromptError
from backend.datasets.labelled_tasks import LabelledTask
from backend.embeddings.task_images import TaskImages
from backend.labeling.config import LabelingConfig, MaskControl
from backend.labeling.prompts import Prompt
from backend.labeling.regions import mask_regions
from backend.labeling.task_data import find_value
from backend.segmentation.cleaning import Cleaning
from backend.segmentation.object_masks import cleaned_mask
from backend.settings.settings import Settings
from mobilesam import Embedding, MaskRuns, Predictor
from mobilesam.proposals import propose

SHAPE_TOLERANCE = 0.02  # of an image's width / height; its rounding to pixels comes on top


@dataclass
class TaskResult:
    """What became of a task: `results` of its prediction, the scores of its masks, and faults.

    `unsure` counts masks that were left out for their score; `unknown` has, by their labels, the
    faults of prompts whose labels no control for masks takes.
    """

    results: list[dict[str, Any]] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    unsure: int = 0
    faults: list[str] = field(default_factory=list)
    unknown: dict[tuple[str, ...], list[str]] = field(default_factory=dict)
    bytes: int = 0


class TaskMasks:
    """Makes masks of one project's tasks. Safe under threads.

    Args:
        predictor: decodes.
        images: embeds.
        config: of the project.
        settings: what masks are answered as, and how they are cleaned.
        project: its id.
        label: of masks whose prompt has none, or one that the control lacks.
        min_score: masks with a lower predicted IoU are left out; None: proposals have their own.
        points_per_side: of the grid that proposals come from.

    Raises:
        LabelingConfigError: the config has no control for masks, or none that knows the label.
    """

    def __init__(
        self,
        predictor: Predictor,
        images: TaskImages,
        config: LabelingConfig,
        settings: Settings,
        *,
        project: str,
        label: str | None,
        min_score: float | None,
        points_per_side: int,
    ) -> None:
        self._predictor = predictor
        self._images = images
        self._config = mask_config(config, settings.output, label)
        self._output = settings.output
        self._tolerance_px = settings.polygon_tolerance_px
        self._cleaning = Cleaning.from_settings(settings)
        self._project = project
        self._label = label
        self._min_score = min_score
        self._points_per_side = points_per_side

    def from_prompts(self, task: LabelledTask, prompts: Iterable[Prompt]) -> TaskResult:
        """Decode a task's rectangles, all on one image from one embedding.

        What fails is among the faults: an image, or one rectangle of many.
        """
        result = TaskResult()
        by_image: dict[tuple[str, int | None], list[tuple[Prompt, MaskControl]]] = {}
        for prompt in prompts:  # what has no control is told before any image is fetched
            try:
                labelled, control = self.control(prompt)
            except LabelingConfigError as error:
                fault = f"{_name(prompt)}: {error}"
                result.unknown.setdefault(prompt.labels, []).append(fault)
            else:
                place = prompt.to_name, prompt.item_index
                by_image.setdefault(place, []).append((labelled, control))
        for place, found in by_image.items():
            try:
                embedding = self._embedding(task, *place)
            except BackendError as error:
                result.faults.append(str(error))
                continue
            for prompt, control in found:
                try:
                    self._add_box(result, embedding, prompt, control)
                except PromptError as error:
                    result.faults.append(str(error))
        return _sized(result)

    def from_grid(self, task: LabelledTask) -> TaskResult:
        """Propose masks for all that is on a task's images."""
        result = TaskResult()
        for name, tag in self._config.images.items():
            if not any(control.to_name == name for control in self._config.mask_controls):
                continue
            value = find_value(task.data, tag.data_key)
            for page in pages_of(value):
                try:
                    self._add_proposals(result, self._embedding(task, name, page), name, page)
                except BackendError as error:
                    result.faults.append(str(error))
        return _sized(result)

    def control(self, prompt: Prompt) -> tuple[Prompt, MaskControl]:
        """Find the control for a prompt's mask; returns the prompt with the labels that it gets.

        Raises:
            LabelingConfigError: no control takes its labels, nor `label` in their place.
        """
        if self._label is not None and not (
            prompt.labels and self._config.takes(prompt.to_name, prompt.labels)
        ):
            prompt = replace(prompt, labels=(self._label,))
        return prompt, self._config.mask_control(prompt.to_name, prompt.labels, output=self._output)

    def _embedding(self, task: LabelledTask, name: str, page: int | None) -> Embedding:
        fields = {"id": task.id, "data": task.data}
        _, embedding = self._images.embedding(
            fields, self._config.images[name], page, self._project
        )
        return embedding

    def _add_box(
        self, result: TaskResult, embedding: Embedding, prompt: Prompt, control: MaskControl
    ) -> None:
        _require_shape(prompt, embedding.size_hw)
        masks = self._predictor.predict_object(
            embedding, box_xyxy=prompt.box_xyxy_px(embedding.size_hw)
        )
        score = float(masks.scores[0])
        if self._min_score is not None and score < self._min_score:
            result.unsure += 1
            return
        mask = cleaned_mask(masks, self._cleaning, runs_will_do=control.output == "brush")
        if not mask.any():
            raise PromptError(
                f"{_name(prompt)} gives an empty mask",
                remedy="draw it closer around the object, or click the object",
            )
        self._add(result, mask, score, prompt, control)

    def _add_proposals(
        self, result: TaskResult, embedding: Embedding, name: str, page: int | None
    ) -> None:
        prompt = Prompt(name, page, self._proposal_labels(name), 0)
        prompt, control = self.control(prompt)
        for masks in propose(
            self._predictor,
            embedding,
            points_per_side=self._points_per_side,
            min_score=self._min_score,
        ):
            best = masks.best()  # a copy: its full size is let go
            mask = cleaned_mask(best, self._cleaning, runs_will_do=control.output == "brush")
            if mask.any():
                self._add(result, mask, float(masks.scores[0]), prompt, control)

    def _proposal_labels(self, name: str) -> tuple[str, ...]:
        """The label that is given, or the only one there is; of several nobody knows which."""
        if self._label is not None and self._config.takes(name, (self._label,)):
            return (self._label,)
        control = self._config.mask_control(name, (), output=self._output)
        labels = control.labels or ()
        return labels if len(labels) == 1 else ()

    def _add(
        self,
        result: TaskResult,
        mask: NDArray[np.bool_] | MaskRuns,
        score: float,
        prompt: Prompt,
        control: MaskControl,
    ) -> None:
        regions = mask_regions(
            mask,
            control=control,
            prompt=prompt,
            score=score,
            polygon_tolerance_px=self._tolerance_px,
        )
        result.results += as_imported(regions)
        result.scores.append(score)


def mask_config(config: LabelingConfig, output: str, label: str | None) -> LabelingConfig:
    """Return a config in which rectangles take no masks, unless that is asked for.

    A click may be answered with its tight box where nothing better is there. But a rectangle that
    a rectangle takes the place of would look as if nothing had happened.

    Raises:
        LabelingConfigError: nothing is left that takes masks, or that takes the label.
    """
    controls = tuple(
        control
        for control in config.mask_controls
        if control.output != "rectangle" or output == "rectangle"
    )
    image = next(iter(config.images))
    if not controls:
        raise LabelingConfigError(
            "the labeling config has no control that takes masks",
            remedy=f"add <BrushLabels name='brush' toName={image!r}> with the labels, "
            "or BitmaskLabels or PolygonLabels",
        )
    if label is not None and not any(control.takes((label,)) for control in controls):
        raise LabelingConfigError(
            f"no control that takes masks has the label {label!r}: "
            + ", ".join(map(str, controls)),
            remedy="give one of these labels with --label, or add it to the control",
        )
    return replace(config, mask_controls=controls)


def pages_of(value: object) -> Sequence[int | None]:
    """The pages of what a task's data holds for an image; one without a number if no list."""
    return range(len(value)) if isinstance(value, list) else [None]


def as_imported(regions: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Complete regions for Label Studio's import of predictions, which drops others unsaid.

    Of a control with a shared `<Labels>`, it wants the shape in the result with the labels too, as
    the editor saves it.

    Args:
        regions: of `mask_regions`.
    """
    shapes = {region["id"]: region["value"] for region in regions if region["type"] != "labels"}
    return [
        {**region, "value": {**shapes[region["id"]], **region["value"]}}
        if region["type"] == "labels"
        else region
        for region in regions
    ]


def _require_shape(prompt: Prompt, size_hw: tuple[int, int]) -> None:
    """See that a rectangle was drawn on an image of this shape.

    Raises:
        PromptError: the image has been replaced, or turned: the box would be anywhere.
    """
    height, width = size_hw
    drawn_on = 1.0 if prompt.rectangle is None else prompt.rectangle.image_aspect
    tolerance = SHAPE_TOLERANCE + 1 / min(size_hw)
    if abs(drawn_on * height / width - 1) > tolerance:
        raise PromptError(
            f"{_name(prompt)} was drawn on an image {drawn_on:.2f} times as wide as high, "
            f"this one has {width} x {height} pixels",
            remedy="see whether the image was replaced, or is turned by EXIF",
        )


def _name(prompt: Prompt) -> str:
    return "the prompt" if prompt.rectangle is None else prompt.rectangle.region


def _sized(result: TaskResult) -> TaskResult:
    """Note how large a result is as JSON; in the thread that made it."""
    result.bytes = len(json.dumps(result.results))
    return result
