"""The encoder's own parts; test_parity.py has its numbers beside the official ones."""

import os
import subprocess
import sys

import pytest
import torch

from mobilesam.model.image_encoder import ImageEncoder
from mobilesam.model.mobile_sam import SIZES

UNNEEDED = ("timm", "torchvision", "torch._dynamo", "triton", "matplotlib", "sympy")


def encoder_of(name):
    return ImageEncoder(SIZES[name].encoder, SIZES[name].embedding_dim).eval()


@pytest.mark.parametrize(
    ("name", "channels"), [pytest.param("vit_t", 256, id="official"), ("demo", 96)]
)
def test_grid_is_a_sixteenth_of_the_input(name, channels):
    assert SIZES[name].encoder.stride == 16
    with torch.inference_mode():
        assert encoder_of(name)(torch.zeros(1, 3, 64, 64)).shape == (1, channels, 4, 4)


def test_every_weight_is_one_that_an_embedding_passes_through():
    """Timm's classifier and its norm are none."""
    encoder = encoder_of("demo").train()
    encoder(torch.randn(2, 3, 64, 64)).square().sum().backward()
    assert [name for name, weight in encoder.named_parameters() if weight.grad is None] == []


def test_fused_encoder_has_no_batch_norm_and_learns_nothing():
    encoder = encoder_of("demo")
    encoder.fuse_norms()
    assert not [each for each in encoder.modules() if isinstance(each, torch.nn.BatchNorm2d)]
    assert not [each for each in encoder.parameters() if each.requires_grad]


def test_exported_encoder_has_the_attention_biases_as_constants():
    """Looked up in the graph, they would be gathered for every image."""
    encoder = encoder_of("demo").requires_grad_(requires_grad=False)
    encoder.cache_biases()
    program = torch.export.export(encoder, (torch.zeros(1, 3, 256, 256),))
    assert "aten.index.Tensor" not in {str(node.target) for node in program.graph.nodes}


def imported_after(code, **environment):
    """Run code in a Python of its own; which of `UNNEEDED` are there in the end."""
    found = f"[name for name in {UNNEEDED} if name in sys.modules]"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint({found})"],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
        env={**os.environ, **environment},
    )
    return done.stdout.splitlines()[-1]


def test_service_imports_no_compiler_and_no_other_model_library():
    """They took 1.5 s of each start, and 190 MB."""
    assert imported_after("import backend.service.server") == "[]"


def test_start_from_kept_graphs_builds_no_torch_encoder(tmp_path):
    code = "from mobilesam import Predictor; Predictor('demo', 'cpu', runtime='openvino')"
    assert "'timm'" in imported_after(code, XDG_CACHE_HOME=str(tmp_path))  # it converts
    assert imported_after(code, XDG_CACHE_HOME=str(tmp_path)) == "[]"
