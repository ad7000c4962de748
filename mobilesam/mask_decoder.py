"""Mask decoder: tokens and an image embedding -> mask logits and predicted IoU.

Source: Segment Anything (arXiv 2304.02643), section A "Lightweight mask decoder".
"""

import torch
from torch import Tensor, nn

from mobilesam.layers import MLP, LayerNorm2d
from mobilesam.transformer import TwoWayTransformer

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
        self, embedding: Tensor, image_positions: Tensor, tokens: Tensor, dense: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Decode B prompts.

        Args:
            embedding: (B, C, G, G), or (1, C, G, G) for B prompts on one image.
            image_positions: (1, C, G, G).
            tokens: (B, N, C) of the prompt encoder.
            dense: (B, C, G, G) or (1, C, 1, 1) of the prompt encoder.

        Returns:
            logits (B, 4, 4G, 4G), before the threshold at 0, and predicted IoU (B, 4).
        """
        batch = tokens.shape[0]
        own = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens = torch.cat([own.expand(batch, -1, -1), tokens], dim=1)
        image = (embedding + dense).expand(batch, -1, -1, -1)
        tokens, attended = self.transformer(tokens, image, image_positions)

        upscaled = self.upscaling(attended.transpose(1, 2).reshape(image.shape))
        weights = torch.stack(
            [network(tokens[:, 1 + index]) for index, network in enumerate(self.hypernetworks)],
            dim=1,
        )
        logits = torch.einsum("bkc,bchw->bkhw", weights, upscaled)
        return logits, self.iou_head(tokens[:, 0])
