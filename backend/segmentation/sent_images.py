"""Masks for images that people send by themselves, without a project: what the page's clicks ask.

A sibling of `click_service.py`: the same predictor, the same cache and its bounds, no Label Studio.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backend.core.errors import PromptError, UnknownImageError
from backend.embeddings.task_images import TaskImages
from backend.embeddings.tiers.base import EmbeddingKey
from backend.monitoring.request_record import current_record
from backend.segmentation.object_masks import ObjectMasks
from mobilesam import MaskRuns, ObjectPrompt


class SentImage(NamedTuple):
    """An image that can be clicked on: the SHA-256 of its file, and its size as displayed."""

    id: str
    size_hw: tuple[int, int]


class Playground:
    """Embeds images and answers clicks on them; safe under threads.

    Args:
        model_id: whose embeddings are kept.
        images: embeds, within the service's bounds.
        masks: decodes.
    """

    def __init__(self, model_id: str, images: TaskImages, masks: ObjectMasks) -> None:
        self._model_id = model_id
        self._images = images
        self._masks = masks

    def embed(self, data: bytes) -> SentImage:
        """Embed an image file, so that clicks on it need only its id.

        Raises:
            ImageError: it cannot be decoded.
            BusyError: too many clicks wait for images already.
        """
        key, embedding = self._images.sent_embedding(data)
        return SentImage(key.image_sha256, embedding.size_hw)

    def segment(
        self, image_id: str, prompt: ObjectPrompt
    ) -> tuple[NDArray[np.bool_] | MaskRuns, float]:
        """Answer a prompt.

        Args:
            image_id: from `embed`.
            prompt: of one object.

        Returns:
            The mask (H, W) of the image as displayed, or its runs, and its score.

        Raises:
            PromptError: it says nowhere that there is an object.
            UnknownImageError: the image must be sent (again).
            BusyError: too many clicks wait for images already.
        """
        if 1 not in prompt.point_labels and prompt.box_xyxy is None:
            raise PromptError(
                "the prompt has neither a positive point nor a box",
                remedy="click on the object first, then off it",
                reason="Negative points need an object: click on it first",
            )
        record = current_record()
        record.prompted(prompt.point_labels, boxes=int(prompt.box_xyxy is not None))
        key = EmbeddingKey(self._model_id, image_id)
        embedding = self._images.kept_embedding(key)
        if embedding is None:
            raise UnknownImageError(
                f"no embedding of an image {image_id!r} is kept",
                remedy="send the image to /playground/images, and click again",
            )
        mask, score = self._masks.segment(
            key, embedding, prompt, fetch=self._resend, runs_will_do=True
        )
        record.masks = int(mask.any())
        return mask, score

    @staticmethod
    def _resend() -> bytes:
        raise UnknownImageError(
            "the pixels of the image are not kept any more",
            remedy="send the image to /playground/images, and click again",
        )
