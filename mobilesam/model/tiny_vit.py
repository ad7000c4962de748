"""TinyViT without its classifier: (B, 3, S, S) -> (B, widths[-1], S/16, S/16).

Source: TinyViT (arXiv 2207.10666) and MobileSAM (arXiv 2306.14289), whose last merging layer has
stride 1. Modules are named as timm names them. timm itself is not used: it imports torchvision and
with it torch's compiler, which took 1.5 s of every start and 190 MB of every service.
"""

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

PATCH_STRIDE = 4  # of the two first convolutions together
EXPANSION = 4  # of the channels inside a block
INITIAL_STD = 0.02  # of linear layers before training


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


class TinyViT(nn.Module):
    """Convolutions at the first stage, attention within windows at the three others."""

    def __init__(self, sizes: EncoderSizes) -> None:
        super().__init__()
        widths = sizes.widths
        self.patch_embed = PatchEmbed(widths[0])
        self.stages = nn.Sequential(ConvStage(widths[0], sizes.depths[0]))
        for stage, stride in enumerate(sizes.merge_strides, start=1):
            self.stages.append(
                AttentionStage(
                    PatchMerging(widths[stage - 1], widths[stage], stride),
                    depth=sizes.depths[stage],
                    heads=sizes.heads[stage],
                    window=sizes.windows[stage],
                )
            )
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=INITIAL_STD)
                nn.init.zeros_(module.bias)

    def forward(self, pixels: Tensor) -> Tensor:
        """Embed images.

        Args:
            pixels: (B, 3, S, S) float, normalised.

        Returns:
            (B, widths[-1], S / stride, S / stride) float.
        """
        return cast("Tensor", self.stages(self.patch_embed(pixels)))

    @torch.no_grad()
    def fuse(self) -> None:
        """Compute once what does not depend on the image: the same result, for inference only.

        Every batch norm is folded into its convolution, and every window has its table of biases.
        """
        for parent in list(self.modules()):
            if isinstance(parent, WindowAttention):
                parent.keep_biases()
            for name, child in parent.named_children():
                if isinstance(child, ConvNorm):
                    setattr(parent, name, fuse_conv_bn_eval(child.conv, child.bn))


class ConvNorm(nn.Module):
    """A convolution that keeps the size (or divides it by `stride`), and its batch norm."""

    def __init__(
        self, before: int, after: int, kernel: int = 1, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            before, after, kernel, stride, padding=kernel // 2, groups=groups, bias=False
        )
        self.bn = nn.BatchNorm2d(after)

    def forward(self, x: Tensor) -> Tensor:
        """Map x (B, before, H, W)."""
        return cast("Tensor", self.bn(self.conv(x)))


class PatchEmbed(nn.Module):
    """Pixels to the first stage's grid: (B, 3, S, S) -> (B, width, S/4, S/4)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(3, width // 2, kernel=3, stride=2)
        self.conv2 = ConvNorm(width // 2, width, kernel=3, stride=2)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map pixels (B, 3, S, S)."""
        return cast("Tensor", self.conv2(F.gelu(self.conv1(pixels))))


class InvertedBottleneck(nn.Module):
    """Widen, look at the neighbours channel by channel, narrow: (B, C, H, W) -> `after` channels.

    Args:
        before: channels that come.
        between: channels of the depthwise convolution.
        after: channels that leave.
        stride: of the depthwise convolution.
    """

    def __init__(self, before: int, between: int, after: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = ConvNorm(before, between)
        self.conv2 = ConvNorm(between, between, kernel=3, stride=stride, groups=between)
        self.conv3 = ConvNorm(between, after)

    def forward(self, x: Tensor) -> Tensor:
        """Map x (B, before, H, W)."""
        return cast("Tensor", self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(x))))))


class ConvBlock(InvertedBottleneck):
    """MBConv: a bottleneck beside a shortcut, at one size."""

    def __init__(self, width: int) -> None:
        super().__init__(width, EXPANSION * width, width)
        nn.init.zeros_(self.conv3.bn.weight)  # training starts from the shortcut alone

    def forward(self, x: Tensor) -> Tensor:
        """Map x (B, C, H, W)."""
        return F.gelu(x + super().forward(x))


class PatchMerging(InvertedBottleneck):
    """From one stage's grid and width to the next one's."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__(before, after, after, stride)
        self.width = after


class ConvStage(nn.Module):
    """The first stage, (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(ConvBlock(width) for _ in range(depth)))

    def forward(self, x: Tensor) -> Tensor:
        """Map x (B, C, H, W)."""
        return cast("Tensor", self.blocks(x))


class AttentionStage(nn.Module):
    """A later stage, (B, C, H, W) -> (B, width, H/stride, W/stride)."""

    def __init__(self, merging: PatchMerging, *, depth: int, heads: int, window: int) -> None:
        super().__init__()
        self.downsample = merging
        self.blocks = nn.Sequential(
            *(AttentionBlock(merging.width, heads, window) for _ in range(depth))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map x (B, C, H, W)."""
        x = self.downsample(x).permute(0, 2, 3, 1)
        return cast("Tensor", self.blocks(x).permute(0, 3, 1, 2))


class AttentionBlock(nn.Module):
    """Attention within windows, a depthwise convolution across their borders, an MLP.

    Args:
        width: channels C.
        heads: of the attention.
        window: side of the square windows, in cells of the grid.
    """

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.attn = WindowAttention(width, heads, window)
        self.mlp = NormMLP(width)
        self.local_conv = ConvNorm(width, width, kernel=3, groups=width)

    def forward(self, x: Tensor) -> Tensor:
        """Map x (B, H, W, C)."""
        x = x + self._attend(x)
        x = self.local_conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return x + cast("Tensor", self.mlp(x))

    def _attend(self, x: Tensor) -> Tensor:
        batch, height, width, channels = x.shape
        side = self.window
        below, right = -height % side, -width % side
        if below or right:
            x = F.pad(x, (0, 0, 0, right, 0, below))  # zeros, which the others attend to as well
        rows, columns = (height + below) // side, (width + right) // side
        windows = x.view(batch, rows, side, columns, side, channels).transpose(2, 3)
        windows = self.attn(windows.reshape(-1, side * side, channels))
        windows = windows.view(batch, rows, columns, side, side, channels).transpose(2, 3)
        x = windows.reshape(batch, height + below, width + right, channels)
        return x[:, :height, :width]


class WindowAttention(nn.Module):
    """Attention among the N cells of a window, with a learnt bias for each distance.

    Args:
        width: channels C.
        heads: that they are divided among.
        window: side of the window; N is its square.
    """

    bias_places: Tensor  # (N, N): which of the N biases belongs to a pair of cells
    kept_biases: Tensor | None  # (heads, N, N)

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window * window))
        self.register_buffer("bias_places", _distances(window), persistent=False)
        self.register_buffer("kept_biases", None, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map x (B, N, C)."""
        batch, cells, width = x.shape
        # Each head has its query, key and value side by side.
        heads = self.qkv(self.norm(x)).view(batch, cells, self.heads, -1).transpose(1, 2)
        query, key, value = heads.chunk(3, dim=-1)
        biases = self._biases() if self.kept_biases is None else self.kept_biases
        x = F.scaled_dot_product_attention(query, key, value, attn_mask=biases)
        return cast("Tensor", self.proj(x.transpose(1, 2).reshape(batch, cells, width)))

    def keep_biases(self) -> None:
        """Look the biases up once and for all; they learn no more."""
        self.kept_biases = self._biases()

    def _biases(self) -> Tensor:
        return self.attention_biases[:, self.bias_places]


class NormMLP(nn.Module):
    """A layer norm and two linear layers, (..., C) -> (..., C)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, EXPANSION * width)
        self.fc2 = nn.Linear(EXPANSION * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map x (..., C)."""
        return cast("Tensor", self.fc2(F.gelu(self.fc1(self.norm(x)))))


def _distances(window: int) -> Tensor:
    """Number the distances of N cells: (N, N), rows apart * window + columns apart."""
    rows, columns = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
    apart = [(cell.flatten()[:, None] - cell.flatten()).abs() for cell in (rows, columns)]
    return apart[0] * window + apart[1]
