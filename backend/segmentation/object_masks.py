"""From a prompt and an embedding to one object's mask, for tasks and for the page alike."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from backend.core.ttl_map import TtlMap
from backend.embeddings.task_images import TaskImages
from backend.embeddings.tiers.base import EmbeddingKey
from backend.monitoring.request_record import step
from backend.segmentation.cleaning import Cleaning
from backend.segmentation.click_logits import ClickLogits
from backend.segmentation.zoomed_clicks import VIEWS_KEPT, ServiceImage, ViewKey
from mobilesam import Embedding, MaskRuns, Masks, ObjectPrompt, Predictor, predict_refined
from mobilesam.zoom import View, predict_zoomed


class ObjectMasks:
    """Decodes prompts, each further click with the mask before it. Safe under threads.

    Args:
        predictor: decodes.
        click_logits: of earlier clicks.
        cleaning: of masks, as the settings say.
        zoom_images: embeds the windows in which small objects are segmented; None for no zoom.
    """

    def __init__(
        self,
        predictor: Predictor,
        click_logits: ClickLogits,
        cleaning: Cleaning,
        zoom_images: TaskImages | None = None,
    ) -> None:
        self._predictor = predictor
        self._click_logits = click_logits
        self._cleaning = cleaning
        self._zoom_images = zoom_images
        self._views: TtlMap[ViewKey, View] = TtlMap(VIEWS_KEPT)

    def segment(
        self,
        key: EmbeddingKey,
        embedding: Embedding,
        prompt: ObjectPrompt,
        *,
        fetch: Callable[[], bytes],
        runs_will_do: bool,
    ) -> tuple[NDArray[np.bool_] | MaskRuns, float]:
        """Answer a prompt.

        Args:
            key: of the image.
            embedding: of the image.
            prompt: of one object, in pixels of the image.
            fetch: returns the image's file again, for a window of it.
            runs_will_do: the mask's runs are taken too; they come from a GPU in kilobytes, where
                nothing is to be cleaned.

        Returns:
            The mask (H, W) of the image as displayed, cleaned as the settings say, and its score.
        """
        with step("mask"):
            masks = self._decode(key, embedding, prompt, fetch)
            score = float(masks.scores[0])
            points = zip(prompt.points_xy, prompt.point_labels, strict=True)
            inside_xy_px = [xy for xy, label in points if label]
            mask = cleaned_mask(masks, self._cleaning, inside_xy_px, runs_will_do=runs_will_do)
            return mask, score

    def _decode(
        self,
        key: EmbeddingKey,
        embedding: Embedding,
        prompt: ObjectPrompt,
        fetch: Callable[[], bytes],
    ) -> Masks:
        images, logits = self._zoom_images, self._click_logits
        if images is None:
            return predict_refined(self._predictor, embedding, prompt, logits.of_image(key))
        image = ServiceImage(key, embedding, images, logits, self._views, fetch)
        return predict_zoomed(self._predictor, image, prompt)


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
