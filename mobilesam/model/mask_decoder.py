"""Mask decoder: tokens and an image embedding -> mask logits and predicted IoU.

Source: Segment Anything (arXiv 2304.02643), section A "Lightweight mask decoder".
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mobilesam.model.layers import MLP, LayerNorm2d
from mobilesam.model.transformer import TwoWayTransformer

CANDIDATES = 3  # masks proposed for an ambiguous prompt; index 0 is the unambiguous answer


class MaskDecoder(nn.Module):
    """Four masks for each prompt: one for a clear prompt, three for an ambiguous one."""

    def __init__(self, embedding_dim: int, heads: int, mlp_dim: int) -> None:
        super().__init__()
        dim, count = embedding_dim, 1 + CANDIDATES
        self.transformer = TwoWayTransformer(dim, heads, mlp_dim)
        self.iou_token = nn.Embedding(1, dim)
        self.mask_tokens = nn.Embedding(count, dim)
        self.upscaling = nn.Sequential(
            nn.ConvTranspose2d(dim, dim // 4, kernel_size=2, stride=2),
            LayerNorm2d(dim // 4),
            nn.GELU(),
            nn.ConvTranspose2d(dim // 4, dim // 8, kernel_size=2, stride=2),
            nn.GELU(),
        )
        self.hypernetworks = nn.ModuleList(MLP(dim, dim, dim, dim // 8) for _ in range(count))
        self.iou_head = MLP(dim, dim, dim, count)

    def forward(
        self,
        image: Tensor,
        image_positions: Tensor,
        tokens: Tensor,
        token_bias: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Decode B prompts.

        Args:
            image: (B, G, G, C) embedding with the dense prompt added, or (1, G, G, C) for B
                prompts that have the same of both. Channels last, as the attention reads it.
            image_positions: (1, G, G, C).
            tokens: (B, N, C) of the prompt encoder.
            token_bias: (B, 1, 1, 5 + N), -inf for tokens that only fill up a fixed shape; the
                first five are the decoder's own.

        Returns:
            logits (B, 4, 4G, 4G), before the threshold at 0, and predicted IoU (B, 4).
        """
        batch = tokens.shape[0]
        own = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens = torch.cat([own.expand(batch, -1, -1), tokens], dim=1)
        grid = image.shape[1]
        image = image.flatten(1, 2).expand(batch, -1, -1)
        tokens, image = self.transformer(tokens, image, image_positions.flatten(1, 2), token_bias)

        weights = torch.stack(
            [network(tokens[:, 1 + index]) for index, network in enumerate(self.hypernetworks)],
            dim=1,
        )
        products = self._upscaled(image).flatten(1, 3) @ weights.transpose(1, 2)
        # Cell, its quarters, their quarters -> rows and columns of pixels.
        logits = products.reshape(-1, grid, grid, 2, 2, 2, 2, weights.shape[1])
        logits = logits.permute(0, 7, 1, 3, 5, 2, 4, 6).reshape(batch, -1, 4 * grid, 4 * grid)
        return logits, self.iou_head(tokens[:, 0])

    def _upscaled(self, image: Tensor) -> Tensor:
        """Bring each cell of image (B, M, C) to 4 x 4 pixels, (B, M, 4, 4, C / 8).

        The same as `upscaling`, channels last: its transposed convolutions have stride = kernel, so
        each is one matrix product over all cells.
        """
        first, second = (cast("nn.ConvTranspose2d", self.upscaling[index]) for index in (0, 3))
        norm = cast("LayerNorm2d", self.upscaling[1])
        image = F.gelu(norm.over_last(_quartered(image, first)))
        return F.gelu(_quartered(image, second))


def _quartered(image: Tensor, convolution: nn.ConvTranspose2d) -> Tensor:
    """Apply a transposed convolution of 2 x 2 with stride 2; (..., C) -> (..., 4, C2)."""
    weight = convolution.weight.permute(2, 3, 1, 0).flatten(0, 2)  # (4 * C2, C)
    bias = None if convolution.bias is None else convolution.bias.repeat(4)
    return F.linear(image, weight, bias).unflatten(-1, (4, -1))
