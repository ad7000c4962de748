"""The interface between `Predictor` and whatever computes the network."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Runtime(Protocol):
    """A model that is ready to run. Any number of threads may call it.

    Attributes:
        name: "torch" or "openvino".
        precision: of the encoder: "float32", "bfloat16" or "float16".
        device: where it runs, and where its embeddings are.
        batch_size: how many images `encode` should be given at once where there are many.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - the class describes it
    @property
    def precision(self) -> str: ...  # noqa: D102
    @property
    def device(self) -> torch.device: ...  # noqa: D102
    @property
    def batch_size(self) -> int: ...  # noqa: D102

    def encode(self, images: Sequence[NDArray[np.uint8]]) -> list[Tensor]:
        """Embed images, (H, W, 3) uint8 RGB of any sizes -> (1, C, G, G) each.

        Each has memory of its own: one that is kept must not keep those of the whole batch.
        """

    def decode(
        self,
        features: Tensor,
        points_xy: NDArray[np.float64],
        point_kinds: list[int],
        mask_logits: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Decode one prompt.

        Args:
            features: (1, C, G, G) of any runtime's `encode`, of any float type.
            points_xy: (N, 2) pixels of the model input.
            point_kinds: N constants of `prompt_encoder`.
            mask_logits: (1, 4G, 4G) float32 of an earlier answer, or None.

        Returns:
            logits (4, 4G, 4G) and predicted IoU (4,), float32.
        """
