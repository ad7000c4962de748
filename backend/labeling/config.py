"""A project's labeling config: which controls prompt, and which control receives the masks."""

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from backend.core.errors import LabelingConfigError
from backend.core.outputs import OUTPUTS
from backend.labeling.repeaters import Repeater

# The region types that prompt (a region's type is its control's tag in lower case), and as what.
PROMPT_KINDS = {
    "keypointlabels": "point",
    "keypoint": "point",
    "rectanglelabels": "rectangle",
    "rectangle": "rectangle",
}
# The region types that take a mask, in that order, and where their labels come from: "own" <Label>
# children, or the "shared" <Labels> controls of the same image.
MASK_LABELS = {
    region_type: source
    for output in OUTPUTS
    for region_type, source in ((f"{output}labels", "own"), (output, "shared"))
}
# Those that make regions of images, or label them.
REGION_TYPES = {*PROMPT_KINDS, *MASK_LABELS, "labels"}

MOST_REPEATED = 5000  # tags of a task, with those of its Repeaters once for each item


@dataclass(frozen=True)
class ImageTag:
    """An `<Image>`; `data_key` is where a task's data has its URL, or a list of them."""

    name: str
    data_key: str


@dataclass(frozen=True)
class PromptControl:
    """A control of key points or rectangles on one image; a smart one's regions are prompts.

    `labels_control` and `labels` are as for `MaskControl`.
    """

    name: str
    to_name: str
    is_smart: bool
    region_type: str
    labels_control: str | None
    labels: tuple[str, ...] | None

    @property
    def clicks_labels(self) -> list[tuple[str, ...]]:
        """The labels that a click can bring along: each one, or none."""
        return [(label,) for label in self.labels or ()] or [()]


@dataclass(frozen=True)
class MaskControl:
    """A control that takes masks on one image, joined with one control that labels them.

    `labels_control` is the control itself, a shared `<Labels>`, or None: masks have no label.
    `labels` is None where they come with each task (`value="$labels"`): any label may.
    """

    name: str
    to_name: str
    region_type: str
    labels_control: str | None
    labels: tuple[str, ...] | None

    @property
    def output(self) -> str:
        """What the control makes of a mask, one of `OUTPUTS`."""
        return self.region_type.removesuffix("labels")

    def takes(self, labels: tuple[str, ...]) -> bool:
        """Whether a mask with these labels (or with none) can be given to this control."""
        return self._known is None or self._known.issuperset(labels)

    @cached_property
    def _known(self) -> frozenset[str] | None:
        return None if self.labels is None else frozenset(self.labels)

    def __str__(self) -> str:
        known = "the task's labels" if self.labels is None else ", ".join(map(repr, self.labels))
        return f"{self.name!r} ({known or 'no labels'})"


@dataclass(frozen=True)
class LabelingConfig:
    """What masks need to know of a labeling config; images by name, the rest in order of use.

    `labels` are those of all controls that make regions, in the order of the config, each with the
    attributes of its first `<Label>` tag. What is in one of the `repeaters` has a placeholder for
    a number in its names until `of_task` fills it in.
    """

    images: Mapping[str, ImageTag]
    prompt_controls: tuple[PromptControl, ...]
    mask_controls: tuple[MaskControl, ...]
    labels: Mapping[str, Mapping[str, str]]
    repeaters: tuple[Repeater, ...] = ()

    def of_task(self, data: Any) -> "LabelingConfig":
        """Return the config as the editor shows it for a task.

        Args:
            data: of the task.

        Raises:
            LabelingConfigError: its Repeaters show more than anybody could label.
        """
        shown = self
        for repeater in self.repeaters:
            count = repeater.count(data)
            controls: tuple[PromptControl | MaskControl, ...] = (
                *shown.prompt_controls,
                *shown.mask_controls,
            )
            labels = sum(len(repeater.numbered_labels(control)) for control in controls)
            tags = len(shown.images) + len(controls) + labels
            if count * tags > MOST_REPEATED:
                raise too_large(f"{count} times its {tags} tags for a task", f"{MOST_REPEATED}")
            images = repeater.repeated(shown.images.values(), count)
            shown = replace(
                shown,
                images={tag.name: tag for tag in images},
                prompt_controls=tuple(repeater.repeated(shown.prompt_controls, count)),
                mask_controls=tuple(repeater.repeated(shown.mask_controls, count)),
            )
        return shown

    def require_usable(self) -> None:
        """Check that at least one image can be prompted and can take the masks.

        Raises:
            LabelingConfigError: no smart control, nothing that takes masks on an image that has
                one, or no label that both know.
        """
        smart = [control for control in self.prompt_controls if control.is_smart]
        prompted = [control.to_name for control in smart]
        if not prompted:
            image = next(iter(self.images), "image")
            raise LabelingConfigError(
                "the labeling config has no key point or rectangle control that prompts, "
                f"or all have smart='false'; its images: {', '.join(map(repr, self.images))}",
                remedy=f"add <KeyPointLabels name='keypoint' toName={image!r} smart='true'> or "
                f"<RectangleLabels name='rectangle' toName={image!r} smart='true'> with the labels",
                reason="No smart KeyPointLabels or RectangleLabels in the labeling config",
            )
        masked = {control.to_name for control in self.mask_controls}
        if not masked.intersection(prompted):
            self.mask_control(prompted[0], ())  # raises, naming the image
        usable = [control for control in smart if control.to_name in masked]
        if not any(
            self.takes(control.to_name, labels)
            for control in usable
            for labels in control.clicks_labels
        ):
            self.mask_control(usable[0].to_name, usable[0].clicks_labels[0])  # raises, naming it

    def known_labels(self, control: PromptControl) -> list[tuple[str, ...]]:
        """The labels of a prompting control that masks on its image can have, one by one.

        A control without labels prompts with `()`, and so does one whose labels come with each
        task, since only the task knows them.
        """
        return [labels for labels in control.clicks_labels if self.takes(control.to_name, labels)]

    def takes(self, to_name: str, labels: tuple[str, ...]) -> bool:
        """Whether some control on this image takes a mask with these labels."""
        return any(
            control.to_name == to_name and control.takes(labels) for control in self.mask_controls
        )

    def mask_control(
        self, to_name: str, labels: tuple[str, ...], *, output: str = "auto"
    ) -> MaskControl:
        """Find the control that receives a mask.

        Args:
            to_name: the name of the Image tag.
            labels: the prompt's labels; empty where prompts have none.
            output: which of `OUTPUTS` is preferred to the others; "auto": their own order.

        Returns:
            The image's first control that takes all the labels: of the preferred output if there
            is one, then in the order of `OUTPUTS`, own labels before shared ones.

        Raises:
            LabelingConfigError: the image has no such control, or none of them knows a label.
        """
        controls = [control for control in self.mask_controls if control.to_name == to_name]
        if not controls:
            raise LabelingConfigError(
                f"no control of the labeling config takes masks on the image {to_name!r}",
                remedy=f"add <BrushLabels name='brush' toName={to_name!r}> with the labels, "
                "or BitmaskLabels, PolygonLabels or RectangleLabels",
                reason="No control for masks on this image in the labeling config",
            )
        for control in sorted(controls, key=lambda control: control.output != output):
            if control.takes(labels):
                return control
        unknown = next(label for label in labels if not controls[0].takes((label,)))
        reason = (
            f"Label {reprlib.repr(unknown)} unknown to "
            f"mask control {reprlib.repr(controls[0].name)}"
        )
        raise LabelingConfigError(
            f"the prompt's label {', '.join(map(repr, labels))} is unknown to the mask control "
            + " and to ".join(map(str, controls)),
            remedy="give the prompting control and the one that takes masks the same labels",
            reason=reason.encode("ascii", "replace").decode(),
        )


def too_large(size: str, most: str) -> LabelingConfigError:
    """Make the error of a config that has more than anybody could label with."""
    return LabelingConfigError(
        f"the labeling config has {size}, more than {most}",
        remedy="take fewer labels and controls",
        reason=f"Labeling config has {size}, at most {most}",
    )
