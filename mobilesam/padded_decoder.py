"""The mask decoder at one shape for every prompt, so that it can be compiled or captured once."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mobilesam.mask_decoder import CANDIDATES
from mobilesam.model import MobileSAM

OWN_TOKENS = 2 + CANDIDATES  # predicted IoU and masks
PROMPT_TOKENS = 32 - OWN_TOKENS  # 26 clicks, or 25 and a box; longer prompts go another way
# Added to the score of a token that is not there: exp() of it is 0, and float16 can hold it.
ABSENT = -1e4


class PaddedDecoder(nn.Module):
    """Decodes one prompt of up to `PROMPT_TOKENS` tokens; the same answer as without padding.

    SAM's own "not a point" is no padding: the image attends to it. Here the tokens that only fill
    up get no attention at all.
    """

    positions: Tensor  # (1, G, G, C)

    def __init__(self, model: MobileSAM) -> None:
        super().__init__()
        self.mask_decoder = model.mask_decoder
        self.register_buffer("positions", model.prompt_encoder.grid_positions(), persistent=False)

    def forward(
        self, image: Tensor, dense: Tensor, tokens: Tensor, token_bias: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Decode one prompt.

        Args:
            image: (1, G, G, C) embedding, channels last.
            dense: (1, 1, 1, C) or (1, G, G, C) of the prompt encoder, channels last.
            tokens: (1, N, C) of the prompt encoder.
            token_bias: (1, 1, 1, OWN_TOKENS + N) of `pad`.

        Returns:
            logits (1, 4, 4G, 4G) and predicted IoU (1, 4).
        """
        logits, iou = self.mask_decoder(image + dense, self.positions, tokens, token_bias)
        return logits, iou

    def example_inputs(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return inputs of the shapes and types to compile for, on the decoder's device."""
        image = torch.zeros_like(self.positions)
        return image, image[:, :1, :1], *pad(image[0, :1, :1])


def pad(tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Fill tokens (1, N, C) up to (1, PROMPT_TOKENS, C); also returns the `token_bias` for them."""
    absent = PROMPT_TOKENS - tokens.shape[1]
    bias = tokens.new_zeros(1, 1, 1, OWN_TOKENS + PROMPT_TOKENS)
    bias[..., OWN_TOKENS + tokens.shape[1] :] = ABSENT
    return F.pad(tokens, (0, 0, 0, absent)), bias
