"""TinyViT's own parts; test_parity.py has its numbers beside the official ones."""

import subprocess
import sys

import pytest
import torch

from mobilesam.model.mobile_sam import SIZES
from mobilesam.model.tiny_vit import AttentionBlock, TinyViT, WindowAttention

UNNEEDED = ("timm", "torchvision", "torch._dynamo", "triton", "matplotlib", "sympy")


@pytest.mark.parametrize(
    ("name", "channels", "cells"),
    [pytest.param("vit_t", 320, 4, id="official"), pytest.param("demo", 128, 4, id="demo")],
)
def test_last_grid_is_a_sixteenth_of_the_input(name, channels, cells):
    trunk = TinyViT(SIZES[name].encoder).eval()
    assert SIZES[name].encoder.stride == 16
    with torch.inference_mode():
        assert trunk(torch.zeros(1, 3, 64, 64)).shape == (1, channels, cells, cells)


def test_bias_belongs_to_the_distance_of_two_cells():
    attention = WindowAttention(width=4, heads=1, window=2)
    assert attention.bias_places.tolist() == [
        [0, 1, 2, 3],
        [1, 0, 3, 2],
        [2, 3, 0, 1],
        [3, 2, 1, 0],
    ]


@pytest.mark.parametrize("side", [pytest.param(4, id="fits"), pytest.param(5, id="padded")])
def test_cells_attend_to_their_own_window_only(side):
    block = AttentionBlock(width=8, heads=2, window=2)
    torch.manual_seed(0)
    grid = torch.randn(1, side, side, 8)
    changed = grid.clone()
    changed[0, 0, 0] += 1
    differs = (block._attend(grid) != block._attend(changed)).any(dim=-1)[0]
    assert differs.nonzero().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]


def test_biases_learn_until_they_are_kept():
    attention = WindowAttention(width=4, heads=1, window=2)
    attention(torch.randn(3, 4, 4)).sum().backward()
    assert attention.attention_biases.grad.abs().sum() > 0
    with torch.no_grad():
        attention.keep_biases()
        attention.attention_biases += 1
    assert attention.kept_biases.shape == (1, 4, 4)
    assert attention.kept_biases.abs().sum() == 0


def test_fused_trunk_has_no_norm_of_a_batch_left():
    trunk = TinyViT(SIZES["demo"].encoder).eval()
    trunk.fuse()
    assert not [each for each in trunk.modules() if isinstance(each, torch.nn.BatchNorm2d)]


def test_service_imports_no_compiler_and_no_other_model_library():
    """They took 1.5 s of each start, and 190 MB."""
    found = f"[name for name in {UNNEEDED} if name in sys.modules]"
    code = f"import backend.service.server, sys; print({found})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout == "[]\n"
