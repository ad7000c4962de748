"""A labeling config's text -> `LabelingConfig`, kept for the next request."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from label_studio_sdk.label_interface.interface import LabelInterface

from backend.core.errors import LabelingConfigError
from backend.labeling.config import (
    MASK_LABELS,
    PROMPT_KINDS,
    REGION_TYPES,
    ImageTag,
    LabelingConfig,
    MaskControl,
    PromptControl,
    too_large,
)
from backend.labeling.repeaters import read_repeaters

# Bounds far above what annotators work with: the SDK's parsed config takes 30 times the text's
# memory, and every shape is joined with every <Labels> of its image.
LONGEST_CONFIG = 1_000_000  # characters
MOST_CONTROLS = 200  # of REGION_TYPES
LONG_CONFIG = 50_000  # characters; of longer ones fewer are kept

# The editor takes tags in any case; the SDK finds this one only as it is written here.
_LABEL_TAG = re.compile(r"<(/?)label(?=[\s/>])", re.IGNORECASE)


def parse_labeling_config(xml: str) -> LabelingConfig:
    """Read a labeling config; the last few are kept, since every request carries it.

    Args:
        xml: `label_config` of /predict or `schema` of /setup.

    Raises:
        LabelingConfigError: it is not XML, no Image tag takes its image from the task, or it is
            larger than anybody could label with.
    """
    if len(xml) > LONGEST_CONFIG:
        raise too_large(f"{len(xml)} characters", f"{LONGEST_CONFIG}")
    return _parsed_long(xml) if len(xml) > LONG_CONFIG else _parsed(xml)


def _parse(xml: str) -> LabelingConfig:
    if "<!DOCTYPE" in xml:  # it could hold entities; Label Studio takes none either
        raise _not_xml("it has a document type declaration")
    try:
        interface = LabelInterface(_LABEL_TAG.sub(r"<\1Label", xml))
        repeaters = read_repeaters(xml)
    except LabelingConfigError:
        raise
    except Exception as error:  # the SDK's own classes for this are private
        raise _not_xml(repr(str(error))) from error
    images = {
        tag.name: ImageTag(tag.name, tag.value_name)
        for tag in interface.objects
        if tag.tag.lower() == "image" and tag.value_is_variable
    }
    if not images:
        raise LabelingConfigError(
            "the labeling config has no Image tag that takes its image from the task",
            remedy='add <Image name="image" value="$image"/>, where image is the task\'s field',
            reason="No Image tag in the labeling config",
        )
    controls = [
        _Control(
            name=tag.name,
            to_name=to_name,
            region_type=tag.tag.lower(),
            is_smart=tag.attr.get("smart") != "false",
            labels=None if tag.attr.get("value", "").startswith("$") else tuple(tag.labels),
        )
        for tag in interface.controls
        for to_name in tag.to_name
        if to_name in images and tag.tag.lower() in REGION_TYPES
    ]
    if len(controls) > MOST_CONTROLS:
        raise too_large(f"{len(controls)} controls on images", f"{MOST_CONTROLS}")
    return LabelingConfig(
        images=images,
        prompt_controls=tuple(
            PromptControl(
                control.name,
                control.to_name,
                control.is_smart,
                control.region_type,
                labels_control,
                labels,
            )
            for control in controls
            if control.region_type in PROMPT_KINDS
            for labels_control, labels in _labelled_by(control, controls)
        ),
        mask_controls=tuple(
            mask_control
            for region_type in MASK_LABELS
            for control in controls
            if control.region_type == region_type
            for mask_control in _mask_controls(control, controls)
        ),
        labels=_all_labels(interface, images),
        repeaters=repeaters,
    )


_parsed = lru_cache(maxsize=64)(_parse)
_parsed_long = lru_cache(maxsize=4)(_parse)


def _all_labels(
    interface: LabelInterface, images: Mapping[str, ImageTag]
) -> dict[str, Mapping[str, str]]:
    labels: dict[str, Mapping[str, str]] = {}
    for tag in interface.controls:
        if tag.tag.lower().endswith("labels") and set(tag.to_name) & set(images):
            for label, found in tag.labels_attrs.items():
                labels.setdefault(label, found.attr)
    return labels


class _Control(NamedTuple):
    """Any control, on one of the images that its toName lists."""

    name: str
    to_name: str
    region_type: str
    # Seen in Label Studio 1.23: a control without the attribute is smart, and what its <Label>
    # tags say about it changes nothing.
    is_smart: bool
    labels: tuple[str, ...] | None


def _mask_controls(control: _Control, controls: list[_Control]) -> list[MaskControl]:
    """Join a control that takes masks with each control that can label them."""
    return [
        MaskControl(control.name, control.to_name, control.region_type, labels_control, labels)
        for labels_control, labels in _labelled_by(control, controls)
    ]


def _labelled_by(
    control: _Control, controls: list[_Control]
) -> list[tuple[str | None, tuple[str, ...] | None]]:
    """Names and labels of the controls that label another one's regions; None: none does."""
    if control.region_type.endswith("labels"):
        return [(control.name, control.labels)]
    return [
        (other.name, other.labels)
        for other in controls
        if other.region_type == "labels" and other.to_name == control.to_name
    ] or [(None, ())]


def _not_xml(why: str) -> LabelingConfigError:
    return LabelingConfigError(
        f"the labeling config is not XML that Label Studio takes: {why}",
        remedy="open Settings > Labeling Interface > Code in Label Studio and correct it",
        reason="Labeling config is not XML",
    )
