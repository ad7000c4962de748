"""From a prompt and an embedding to one object's mask, for tasks and for the page alike."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from backend.embeddings.tiers.base import EmbeddingKey
from backend.monitoring.request_record import step
from backend.segmentation.cleaning import Cleaning
from backend.segmentation.click_logits import ClickLogits
from mobilesam import Embedding, MaskRuns, Masks, ObjectPrompt, Predictor, predict_refined


class ObjectMasks:
    """Decodes prompts, each further click with the mask before it. Safe under threads.

    Args:
        predictor: decodes.
        click_logits: of earlier clicks.
        cleaning: of masks, as the settings say.
    """

    def __init__(self, predictor: Predictor, click_logits: ClickLogits, cleaning: Cleaning) -> None:
        self._predictor = predictor
        self._click_logits = click_logits
        self._cleaning = cleaning

    def segment(
        self, key: EmbeddingKey, embedding: Embedding, prompt: ObjectPrompt, *, runs_will_do: bool
    ) -> tuple[NDArray[np.bool_] | MaskRuns, float]:
        """Answer a prompt.

        Args:
            key: of the image.
            embedding: of the image.
            prompt: of one object, in pixels of the image.
            runs_will_do: the mask's runs are taken too; they come from a GPU in kilobytes, where
                nothing is to be cleaned.

        Returns:
            The mask (H, W) of the image as displayed, cleaned as the settings say, and its score.
        """
        with step("mask"):
            masks = predict_refined(
                self._predictor, embedding, prompt, self._click_logits.of_image(key)
            )
            score = float(masks.scores[0])
            points = zip(prompt.points_xy, prompt.point_labels, strict=True)
            inside_xy_px = [xy for xy, label in points if label]
            mask = cleaned_mask(masks, self._cleaning, inside_xy_px, runs_will_do=runs_will_do)
            return mask, score


def cleaned_mask(
    masks: Masks,
    cleaning: Cleaning,
    inside_xy_px: Sequence[tuple[float, float]] = (),
    *,
    runs_will_do: bool,
) -> NDArray[np.bool_] | MaskRuns:
    """Bring a mask here in full size, and clean it.

    Args:
        masks: K = 1.
        cleaning: what is done.
        inside_xy_px: the positive clicks.
        runs_will_do: as for `ObjectMasks.segment`.
    """
    if runs_will_do and masks.are_on_gpu and not cleaning.is_on:
        return masks.runs()
    return cleaning.apply(masks.masks[0], inside_xy_px)
