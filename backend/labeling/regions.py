"""Masks as the regions that Label Studio 1.23 draws."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import cv2
import numpy as np
from numpy.typing import NDArray

from backend.codecs.bitmask import encode_bitmask
from backend.codecs.brush import encode_brush, encode_brush_runs
from backend.codecs.polygons import mask_polygons
from backend.labeling.config import MaskControl, PromptControl
from backend.labeling.prompts import Prompt

if TYPE_CHECKING:  # else export-coco would load torch, 500 MB for nothing
    from mobilesam import MaskRuns


def mask_regions(
    mask: "NDArray[np.bool_] | MaskRuns",
    *,
    control: MaskControl,
    prompt: Prompt,
    score: float,
    polygon_tolerance_px: float = 1.0,
) -> list[dict[str, Any]]:
    """Build the regions of an answer that a mask becomes: one, or a polygon for each part.

    A control with labels of its own takes a region as one result. A control with a shared
    `<Labels>` needs two under one id, as the editor itself saves them: a brush mask that carries
    its label in one result is drawn without it.

    Args:
        mask: (H, W), not empty, of the size of the image as displayed: Label Studio draws brush
            masks of any other size as sheared stripes. Its runs will do for a brush.
        control: the control that receives the mask, from `LabelingConfig.mask_control`.
        prompt: what the mask answers.
        score: the predicted IoU.
        polygon_tolerance_px: how far a polygon's outline may be from the mask's.

    Returns:
        The results, ready for JSON, each region under an id of its own: accepting a region whose id
        was used before would overwrite the earlier one.
    """
    if isinstance(mask, np.ndarray):
        size_hw = mask.shape[0], mask.shape[1]
        shapes = mask_shapes(mask, control.output, polygon_tolerance_px=polygon_tolerance_px)
    else:
        size_hw = mask.size_hw
        shapes = [_brush_shape(encode_brush_runs(mask.edges, begins_true=mask.begins_true))]
    height, width = size_hw
    common: dict[str, Any] = {
        "to_name": prompt.to_name,
        "original_width": width,
        "original_height": height,
        "image_rotation": prompt.image_rotation,
        "score": float(score),
        "origin": "prediction",
    }
    if prompt.item_index is not None:  # without it, the mask is not shown on its page
        common["item_index"] = prompt.item_index
    return [
        result
        for shape in shapes
        for result in labelled_results(control, {**common, "id": uuid4().hex}, shape, prompt.labels)
    ]


def labelled_results(
    control: MaskControl | PromptControl,
    common: dict[str, Any],
    shape: dict[str, Any],
    labels: Sequence[str],
) -> list[dict[str, Any]]:
    """Build one region: a result, or two where a shared `<Labels>` labels it.

    Args:
        control: that the region is of.
        common: what both results have, such as `id` and `to_name`.
        shape: what the control stores of it, without labels.
        labels: of the region; may be none.
    """
    own = control.labels_control == control.name
    if own:
        shape = {**shape, control.region_type: list(labels)}
    results = [{**common, "from_name": control.name, "type": control.region_type, "value": shape}]
    if labels and not own:
        value = {"labels": list(labels)}
        results.append(
            {**common, "from_name": control.labels_control, "type": "labels", "value": value}
        )
    return results


def mask_shapes(
    mask: NDArray[np.bool_], output: str, *, polygon_tolerance_px: float
) -> list[dict[str, Any]]:
    """Return what a control stores of a mask, without labels: one shape, or one for each part.

    Args:
        mask: (H, W), not empty.
        output: of the control, one of `core.outputs.OUTPUTS`.
        polygon_tolerance_px: how far a polygon's outline may be from the mask's.
    """
    if output == "brush":
        return [_brush_shape(encode_brush(mask))]
    if output == "bitmask":
        return [{"imageDataURL": encode_bitmask(mask)}]
    height, width = mask.shape
    if output == "polygon":
        rings = mask_polygons(mask, tolerance_px=polygon_tolerance_px)
        to_pct = 100 / np.array([width, height])
        return [{"points": (ring * to_pct).tolist(), "closed": True} for ring in rings]
    return [rectangle_shape(cv2.boundingRect(mask.view(np.uint8)), mask.shape)]


def _brush_shape(rle: list[int]) -> dict[str, Any]:
    return {"format": "rle", "rle": rle}


def rectangle_shape(box_xywh_px: Sequence[float], size_hw: tuple[int, ...]) -> dict[str, Any]:
    """Return what a rectangle control stores of an upright box, without labels."""
    x, y, across, down = box_xywh_px
    height, width = size_hw
    return {
        "x": x / width * 100,
        "y": y / height * 100,
        "width": across / width * 100,
        "height": down / height * 100,
        "rotation": 0,
    }
