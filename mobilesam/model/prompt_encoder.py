"""Prompt encoder: points, a box and a previous mask -> tokens and a dense embedding.

Source: Segment Anything (arXiv 2304.02643), section A "Prompt encoder".
"""

import math

import torch
from torch import Tensor, nn

from mobilesam.model.layers import LayerNorm2d

# What a token stands for; the order of the checkpoint's point embeddings.
NEGATIVE, POSITIVE, BOX_TOP_LEFT, BOX_BOTTOM_RIGHT = 0, 1, 2, 3
PADDING = -1  # SAM's "not a point"; it adds one to every prompt without a box


class PromptEncoder(nn.Module):
    """Prompts in pixels of the model input -> what the mask decoder attends to.

    Args:
        embedding_dim: C, width of tokens and of the image embedding.
        input_size: S, side of the square model input in pixels.
        grid_size: G, side of the image embedding's grid.
        mask_channels: width inside the mask branch.
    """

    frequencies: Tensor  # (2, C / 2), random and fixed

    def __init__(
        self, embedding_dim: int, input_size: int, grid_size: int, mask_channels: int = 16
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.grid_size = grid_size
        self.register_buffer("frequencies", torch.randn(2, embedding_dim // 2))
        self.point_kinds = nn.Embedding(4, embedding_dim)
        self.padding = nn.Embedding(1, embedding_dim)
        self.no_mask = nn.Embedding(1, embedding_dim)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, mask_channels // 4, kernel_size=2, stride=2),
            LayerNorm2d(mask_channels // 4),
            nn.GELU(),
            nn.Conv2d(mask_channels // 4, mask_channels, kernel_size=2, stride=2),
            LayerNorm2d(mask_channels),
            nn.GELU(),
            nn.Conv2d(mask_channels, embedding_dim, kernel_size=1),
        )

    def forward(
        self, points_xy: Tensor, point_kinds: Tensor, mask_logits: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Encode B prompts of N tokens each.

        Args:
            points_xy: (B, N, 2) float, pixels of the model input; box corners are points too.
            point_kinds: (B, N) int, the constants of this module; `PADDING` where there is none.
            mask_logits: (B, 1, 4G, 4G) float of an earlier answer, or None.

        Returns:
            tokens (B, N, C) and dense (B, C, G, G), or (1, C, 1, 1) without a mask.
        """
        tokens = self.encode_points(points_xy, point_kinds)
        if mask_logits is None:
            return tokens, self.no_mask.weight[:, :, None, None]
        return tokens, self.mask_downscaling(mask_logits)

    def encode_points(self, points_xy: Tensor, point_kinds: Tensor) -> Tensor:
        """Return the tokens of `forward` alone."""
        # A pixel's coordinates name its top left corner; its centre is what is encoded.
        tokens = self._encode_positions((points_xy + 0.5) / self.input_size)
        tokens = tokens + self.point_kinds(point_kinds.clamp(min=0))
        is_padding = (point_kinds == PADDING)[..., None]
        return torch.where(is_padding, self.padding.weight, tokens)

    def grid_positions(self) -> Tensor:
        """Return the encoded positions of the image embedding's cells, (1, G, G, C)."""
        steps = torch.arange(self.grid_size, device=self.frequencies.device)
        centres = (steps.to(self.frequencies.dtype) + 0.5) / self.grid_size
        y, x = torch.meshgrid(centres, centres, indexing="ij")
        return self._encode_positions(torch.stack([x, y], dim=-1))[None]

    def _encode_positions(self, xy: Tensor) -> Tensor:
        """Random Fourier features of xy (..., 2) in 0..1 -> (..., C)."""
        angles = 2 * math.pi * ((2 * xy - 1) @ self.frequencies)
        return torch.cat([angles.sin(), angles.cos()], dim=-1)
