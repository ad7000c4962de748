"""Image encoder: timm's TinyViT and a neck, (B, 3, S, S) -> (B, C, S/16, S/16).

Source: TinyViT (arXiv 2207.10666) and MobileSAM (arXiv 2306.14289), whose last merging layer has
stride 1.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from mobilesam.model.layers import LayerNorm2d

if TYPE_CHECKING:
    from timm.models.tiny_vit import PatchMerging, TinyVit

PATCH_STRIDE = 4  # of the two first convolutions together


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
    """TinyViT, and the neck that brings it to the embedding's width."""

    def __init__(self, sizes: EncoderSizes, embedding_dim: int) -> None:
        super().__init__()
        self.trunk = _tiny_vit(sizes)
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
        return cast("Tensor", self.neck(self.trunk.forward_features(pixels)))

    @torch.no_grad()
    def cache_biases(self) -> None:
        """Look the attention's biases up, so that `torch.export` takes them for constants.

        timm keeps what it looked up in inference until `eval` or `to` is called.
        """
        from timm.models.tiny_vit import Attention  # noqa: PLC0415 - as in `_tiny_vit`

        for module in self.trunk.modules():
            if isinstance(module, Attention):
                module.get_attention_biases(module.attention_biases.device)

    @torch.no_grad()
    def fuse_norms(self) -> None:
        """Fold every batch norm into its convolution: the same result, for inference only."""
        from timm.models import reparameterize_model  # noqa: PLC0415 - as in `_tiny_vit`

        reparameterize_model(self.trunk, inplace=True)
        self.requires_grad_(requires_grad=False)  # timm makes the fused layers anew


def _tiny_vit(sizes: EncoderSizes) -> "TinyVit":
    # Here, since timm brings torchvision and torch's compiler along: 1.7 s of processor time and
    # 180 MB, which a start from kept OpenVINO graphs does without.
    from timm.models.tiny_vit import TinyVit  # noqa: PLC0415

    trunk = TinyVit(
        num_classes=0,
        embed_dims=sizes.widths,
        depths=sizes.depths,
        num_heads=sizes.heads,
        window_sizes=sizes.windows,
        drop_path_rate=0.0,
    )
    trunk.reset_classifier(0, "", reset_other=True)  # its norm as well: embeddings pass neither
    for stage, stride in zip(trunk.stages[1:], sizes.merge_strides, strict=True):
        cast("PatchMerging", stage.downsample).conv2.conv.stride = (stride, stride)
    return trunk
