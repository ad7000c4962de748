"""Masks as the regions that Label Studio 1.23 draws."""

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from backend.brush import encode_brush
from backend.labeling_config import MaskControl
from backend.prompts import Prompt


def mask_region(
    mask: NDArray[np.bool_], *, control: MaskControl, prompt: Prompt, score: float
) -> list[dict[str, Any]]:
    """Build one region of an answer.

    A control with labels of its own takes it as one result. `<Brush>` with a shared `<Labels>`
    needs two under one id, as the editor itself saves them: a mask that carries its label in one
    result is drawn without it.

    Args:
        mask: (H, W), of the size of the image as displayed: Label Studio draws any other size as
            sheared stripes.
        control: the control that receives the mask, from `LabelingConfig.mask_control`.
        prompt: what the mask answers.
        score: the predicted IoU.

    Returns:
        The results, ready for JSON, under an id of their own: accepting a region whose id was used
        before would overwrite the earlier one.
    """
    height, width = mask.shape
    common: dict[str, Any] = {
        "id": uuid4().hex,
        "to_name": prompt.to_name,
        "original_width": width,
        "original_height": height,
        "image_rotation": prompt.image_rotation,
        "score": float(score),
        "origin": "prediction",
    }
    if prompt.item_index is not None:  # without it, the mask is not shown on its page
        common["item_index"] = prompt.item_index
    value = {"format": "rle", "rle": encode_brush(mask)}
    return list(labelled_results(control, common, value, prompt.labels))


def labelled_results(
    control: MaskControl, common: dict[str, Any], value: dict[str, Any], labels: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Give a region its labels, as the editor stores them: in its own result, or in a second one.

    Args:
        control: that the region is of.
        common: what both results have: id, to_name, size and so on.
        value: the shape.
        labels: of the region; may be none.

    Yields:
        The region's results, ready for JSON.
    """
    own = control.labels_control == control.name
    yield {
        **common,
        "from_name": control.name,
        "type": control.region_type,
        "value": {**value, control.region_type: list(labels)} if own else value,
    }
    if labels and not own:
        yield {
            **common,
            "from_name": control.labels_control,
            "type": "labels",
            "value": {"labels": list(labels)},
        }
