"""Image encoder: TinyViT and a neck, (B, 3, S, S) -> (B, C, S/16, S/16).

Source: MobileSAM (arXiv 2306.14289).
"""

from typing import cast

from torch import Tensor, nn

from mobilesam.model.layers import LayerNorm2d
from mobilesam.model.tiny_vit import EncoderSizes, TinyViT


class ImageEncoder(nn.Module):
    """TinyViT, and the neck that brings it to the embedding's width."""

    def __init__(self, sizes: EncoderSizes, embedding_dim: int) -> None:
        super().__init__()
        self.trunk = TinyViT(sizes)
        self.neck = nn.Sequential(
            nn.Conv2d(sizes.widths[-1], embedding_dim, kernel_size=1, bias=False),
            LayerNorm2d(embedding_dim),
            nn.Conv2d(embedding_dim, embedding_dim, kernel_size=3, padding=1, bias=False),
            LayerNorm2d(embedding_dim),
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """Embed images.

        Args:
            pixels: (B, 3, S, S) float, normalised as `resize.to_input_pixels` does.

        Returns:
            (B, C, S / stride, S / stride) float.
        """
        return cast("Tensor", self.neck(self.trunk(pixels)))

    def fuse_norms(self) -> None:
        """Fold every batch norm into its convolution: the same result, for inference only."""
        self.trunk.fuse()
