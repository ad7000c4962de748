"""The model: image encoder, prompt encoder and mask decoder joined; a table of their sizes."""

from dataclasses import dataclass

from torch import Tensor, nn

from mobilesam.model.image_encoder import EncoderSizes, ImageEncoder
from mobilesam.model.mask_decoder import MaskDecoder
from mobilesam.model.prompt_encoder import PromptEncoder


@dataclass(frozen=True)
class ModelSizes:
    """Every size that distinguishes one model of this family from another.

    `input_size` is the side of the square model input in pixels, `embedding_dim` the width C of the
    image embedding and of the tokens.
    """

    input_size: int
    encoder: EncoderSizes
    embedding_dim: int
    decoder_heads: int
    decoder_mlp_dim: int

    @property
    def grid_size(self) -> int:
        """Side G of the image embedding's grid; masks are decoded at 4G."""
        return self.input_size // self.encoder.stride


SIZES = {
    # The published MobileSAM: 10.1 M parameters.
    "vit_t": ModelSizes(
        input_size=1024,
        encoder=EncoderSizes(
            widths=(64, 128, 160, 320),
            depths=(2, 2, 6, 2),
            heads=(2, 4, 5, 10),
            windows=(7, 7, 14, 7),
        ),
        embedding_dim=256,
        decoder_heads=8,
        decoder_mlp_dim=2048,
    ),
    # Small enough to train on two CPU cores and to ship; see `python -m mobilesam train`.
    "demo": ModelSizes(
        input_size=256,
        encoder=EncoderSizes(
            widths=(32, 64, 96, 128),
            depths=(1, 2, 4, 2),
            heads=(1, 2, 3, 4),
            windows=(8, 8, 16, 8),
        ),
        embedding_dim=96,
        decoder_heads=4,
        decoder_mlp_dim=256,
    ),
}


class PromptDecoder(nn.Module):
    """The model without its image encoder: from an embedding and a prompt to masks."""

    def __init__(self, sizes: ModelSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.prompt_encoder = PromptEncoder(
            sizes.embedding_dim, input_size=sizes.input_size, grid_size=sizes.grid_size
        )
        self.mask_decoder = MaskDecoder(
            sizes.embedding_dim, heads=sizes.decoder_heads, mlp_dim=sizes.decoder_mlp_dim
        )

    def decode(
        self,
        embedding: Tensor,
        points_xy: Tensor,
        point_kinds: Tensor,
        mask_logits: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Decode B prompts against one embedding each, or all against one.

        Args:
            embedding: (B, C, G, G) or (1, C, G, G).
            points_xy: (B, N, 2) float, pixels of the model input.
            point_kinds: (B, N) int, see `prompt_encoder`.
            mask_logits: (B, 1, 4G, 4G) float of an earlier answer, or None.

        Returns:
            logits (B, 4, 4G, 4G) and predicted IoU (B, 4); index 0 answers a clear prompt,
            1 to 3 are the candidates for an ambiguous one.
        """
        tokens, dense = self.prompt_encoder(points_xy, point_kinds, mask_logits)
        image = (embedding + dense).permute(0, 2, 3, 1)
        logits, iou = self.mask_decoder(image, self.prompt_encoder.grid_positions(), tokens)
        return logits, iou


class MobileSAM(PromptDecoder):
    """One promptable segmentation model; holds weights and nothing about any image."""

    def __init__(self, sizes: ModelSizes) -> None:
        super().__init__(sizes)
        self.image_encoder = ImageEncoder(sizes.encoder, sizes.embedding_dim)
