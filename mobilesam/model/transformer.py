"""Two-way transformer: tokens attend to the image, and the image attends to the tokens.

Source: Segment Anything (arXiv 2304.02643), section A "Lightweight mask decoder".
"""

import torch.nn.functional as F
from torch import Tensor, nn

from mobilesam.model.layers import MLP


class Attention(nn.Module):
    """Multi-head attention whose inner width may be smaller than its outer width."""

    def __init__(self, dim: int, heads: int, inner_dim: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(dim, inner_dim)
        self.key = nn.Linear(dim, inner_dim)
        self.value = nn.Linear(dim, inner_dim)
        self.out = nn.Linear(inner_dim, dim)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, key_bias: Tensor | None = None
    ) -> Tensor:
        """Attend; query (B, N, C), key and value (B, M, C) -> (B, N, C).

        `key_bias` (B, 1, 1, M) is added to the scores: -inf for a key that is not there.
        """
        attended = F.scaled_dot_product_attention(
            self._split(self.query(query)),
            self._split(self.key(key)),
            self._split(self.value(value)),
            attn_mask=key_bias,
        )
        return self.out(attended.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, heads, N, C / heads)


class TwoWayBlock(nn.Module):
    """Self-attention of the tokens, tokens to image, MLP, image to tokens."""

    def __init__(self, dim: int, heads: int, mlp_dim: int, *, is_first: bool) -> None:
        super().__init__()
        self.is_first = is_first
        self.self_attention = Attention(dim, heads, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.tokens_to_image = Attention(dim, heads, dim // 2)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = MLP(dim, mlp_dim, dim)
        self.norm3 = nn.LayerNorm(dim)
        self.image_to_tokens = Attention(dim, heads, dim // 2)
        self.norm4 = nn.LayerNorm(dim)

    def forward(
        self,
        tokens: Tensor,
        image: Tensor,
        token_positions: Tensor,
        image_positions: Tensor,
        token_bias: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Update both sides; tokens (B, N, C), image (B, G * G, C)."""
        if self.is_first:  # the tokens are their own positions still, nothing to add to
            tokens = self.self_attention(tokens, tokens, tokens, token_bias)
        else:
            placed = tokens + token_positions
            tokens = tokens + self.self_attention(placed, placed, tokens, token_bias)
        tokens = self.norm1(tokens)

        placed_image = image + image_positions
        tokens = tokens + self.tokens_to_image(tokens + token_positions, placed_image, image)
        tokens = self.norm2(tokens)
        tokens = self.norm3(tokens + self.mlp(tokens))

        image = image + self.image_to_tokens(
            placed_image, tokens + token_positions, tokens, token_bias
        )
        return tokens, self.norm4(image)


class TwoWayTransformer(nn.Module):
    """`depth` two-way blocks and a last attention from the tokens to the image."""

    def __init__(self, dim: int, heads: int, mlp_dim: int, depth: int = 2) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            TwoWayBlock(dim, heads, mlp_dim, is_first=index == 0) for index in range(depth)
        )
        self.final_tokens_to_image = Attention(dim, heads, dim // 2)
        self.final_norm = nn.LayerNorm(dim)

    def forward(
        self,
        tokens: Tensor,
        image: Tensor,
        image_positions: Tensor,
        token_bias: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Let tokens and image look at each other.

        Args:
            tokens: (B, N, C), prompt and output tokens; they serve as their own positions.
            image: (B, G * G, C) embedding with the dense prompt added.
            image_positions: (1, G * G, C).
            token_bias: (B, 1, 1, N), -inf for tokens that only fill up a fixed shape.

        Returns:
            tokens (B, N, C) and image (B, G * G, C).
        """
        token_positions = tokens
        for block in self.blocks:
            tokens, image = block(tokens, image, token_positions, image_positions, token_bias)
        attended = self.final_tokens_to_image(
            tokens + token_positions, image + image_positions, image
        )
        return self.final_norm(tokens + attended), image
