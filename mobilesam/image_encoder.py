"""Image encoder: timm's TinyViT and a neck, (B, 3, S, S) -> (B, C, S/16, S/16).

Source: MobileSAM (arXiv 2306.14289) and TinyViT (arXiv 2207.10666). timm's TinyViT has the official
encoder's tensors in the official order; only the strides of the merging layers differ.
"""

from dataclasses import dataclass
from typing import cast

import torch
from timm.models.tiny_vit import ConvNorm, TinyVit
from torch import Tensor, nn

from mobilesam.layers import LayerNorm2d

PATCH_STRIDE = 4  # of TinyViT's two first convolutions together


@dataclass(frozen=True)
class EncoderSizes:
    """Widths and depths of the four TinyViT stages.

    `merge_strides` belongs to the three merging layers between the stages. TinyViT has 2, 2, 2;
    MobileSAM keeps the last grid at the third stage's size.
    """

    widths: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]
    heads: tuple[int, int, int, int]
    windows: tuple[int, int, int, int]
    merge_strides: tuple[int, int, int] = (2, 2, 1)

    @property
    def stride(self) -> int:
        """Pixels of the model input per cell of the embedding's grid."""
        first, second, third = self.merge_strides
        return PATCH_STRIDE * first * second * third


class ImageEncoder(nn.Module):
    """TinyViT without its classifier, and the neck that brings it to the embedding's width."""

    def __init__(self, sizes: EncoderSizes, embedding_dim: int) -> None:
        super().__init__()
        self.trunk = TinyVit(
            num_classes=0,
            embed_dims=sizes.widths,
            depths=sizes.depths,
            num_heads=sizes.heads,
            window_sizes=sizes.windows,
            drop_path_rate=0.0,
        )
        del self.trunk.head  # the checkpoint's classifier is not used by SAM
        for stage, stride in zip(self.trunk.stages[1:], sizes.merge_strides, strict=True):
            convolution = cast("nn.Conv2d", stage.get_submodule("downsample.conv2.conv"))
            convolution.stride = (stride, stride)
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
        features = self.trunk.stages(self.trunk.patch_embed(pixels))
        return self.neck(features)

    @torch.no_grad()
    def fuse_norms(self) -> None:
        """Fold every batch norm into its convolution: the same result, for inference only."""
        for parent in list(self.trunk.modules()):
            for name, child in parent.named_children():
                if isinstance(child, ConvNorm):
                    setattr(parent, name, child.fuse())
