"""Decoding at one shape for every prompt, so that it can be compiled or captured once."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from mobilesam.model.mask_decoder import CANDIDATES
from mobilesam.model.mobile_sam import PromptDecoder

OWN_TOKENS = 2 + CANDIDATES  # predicted IoU and masks
PROMPT_TOKENS = 32 - OWN_TOKENS  # 26 clicks, or 25 and a box; longer prompts go another way
ABSENT = -2  # the kind of a token that only fills up
# Added to the score of a token that is not there: exp() of it is 0, and float16 can hold it.
NO_ATTENTION = -1e4


class FixedShapeDecoder(nn.Module):
    """Decodes one prompt of up to `PROMPT_TOKENS` tokens; the same answer as without padding.

    SAM's own "not a point" is no padding: the image attends to it. Here the tokens that only fill
    up get no attention at all.
    """

    positions: Tensor  # (1, G, G, C)

    def __init__(self, model: PromptDecoder) -> None:
        super().__init__()
        self.prompt_encoder = model.prompt_encoder
        self.mask_decoder = model.mask_decoder
        self.register_buffer("positions", model.prompt_encoder.grid_positions(), persistent=False)

    def bring_to(self, device: torch.device, dtype: torch.dtype) -> "FixedShapeDecoder":
        """Move to a device and compute in a type; prompts stay in float32.

        Pixels would lose their fractions, and prompts cost nothing.
        """
        self.prompt_encoder.to(device)
        self.mask_decoder.to(device, dtype)
        self.positions = self.positions.to(device, dtype)
        return self

    def forward(self, image: Tensor, dense: Tensor, prompt: Tensor) -> tuple[Tensor, Tensor]:
        """Decode one prompt.

        Args:
            image: (1, G, G, C) embedding, channels last.
            dense: (1, 1, 1, C) or (1, G, G, C), `no_mask` or `mask`.
            prompt: (1, `PROMPT_TOKENS`, 3) float32 of `pad`.

        Returns:
            logits (1, 4, 4G, 4G) and predicted IoU (1, 4).
        """
        bias = torch.where(prompt[..., 2] == ABSENT, NO_ATTENTION, 0.0)
        bias = F.pad(bias, (OWN_TOKENS, 0))[:, None, None]
        return self._decode(image, dense, prompt, bias.to(image.dtype))

    def unpadded(self, image: Tensor, dense: Tensor, prompt: Tensor) -> tuple[Tensor, Tensor]:
        """Decode one prompt of any length, (1, N, 3) float32 of `as_rows`; else as `forward`."""
        return self._decode(image, dense, prompt, None)

    def no_mask(self) -> Tensor:
        """Return what is added to the image where no earlier mask is given, (1, 1, 1, C)."""
        return self.prompt_encoder.no_mask.weight[:, None, None]

    def mask(self, logits: Tensor) -> Tensor:
        """Return what is added to the image for earlier logits (1, 1, 4G, 4G), (1, G, G, C)."""
        dense: Tensor = self.prompt_encoder.mask_downscaling(logits)
        return dense.permute(0, 2, 3, 1)

    def example_inputs(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return inputs of the shapes and types to compile for, on the decoder's device."""
        image = torch.zeros_like(self.positions)
        prompt = torch.zeros(1, PROMPT_TOKENS, 3, device=image.device)
        return image, torch.zeros_like(image[:, :1, :1]), prompt

    def _decode(
        self, image: Tensor, dense: Tensor, prompt: Tensor, bias: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        tokens = self.prompt_encoder.encode_points(prompt[..., :2], prompt[..., 2].long())
        logits, iou = self.mask_decoder(image + dense, self.positions, tokens.to(image.dtype), bias)
        return logits, iou


def as_rows(points_xy: NDArray[np.float64], kinds: Sequence[int]) -> NDArray[np.float32]:
    """Return a prompt's N tokens as one array.

    Args:
        points_xy: (N, 2) pixels of the model input.
        kinds: N constants of `prompt_encoder`.

    Returns:
        (1, N, 3): x, y and the kind.
    """
    return np.column_stack([points_xy, kinds])[None].astype(np.float32)


def pad(points_xy: NDArray[np.float64], kinds: Sequence[int]) -> NDArray[np.float32]:
    """Return `as_rows` of at most `PROMPT_TOKENS` tokens, filled up to that many: (1, 27, 3)."""
    padded = np.zeros((1, PROMPT_TOKENS, 3), np.float32)
    padded[..., 2] = ABSENT
    padded[:, : len(kinds)] = as_rows(points_xy, kinds)
    return padded
