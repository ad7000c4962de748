"""The model versions of predictions from here: by them they are found again, and shown."""

from collections.abc import Mapping
from typing import Any

BOXES, EVERYTHING = "-prelabel-boxes", "-prelabel-everything"


def prelabel_version(model_id: str, *, everything: bool) -> str:
    """Name the predictions of one run.

    Not what /setup answers: Label Studio asks the backend for no task that has a prediction of that
    version, and then would not have it embedded. And boxes and proposals go side by side.

    Args:
        model_id: of the weights.
        everything: whether they are proposals.
    """
    return model_id + (EVERYTHING if everything else BOXES)


def is_prelabelled(prediction: Mapping[str, Any]) -> bool:
    """Whether a prediction is from here, of whatever weights."""
    return str(prediction.get("model_version")).endswith((BOXES, EVERYTHING))
