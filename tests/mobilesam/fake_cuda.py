"""A GPU in torch's fake mode: no numbers, but every operator's rules for devices and types.

On a machine without CUDA this is what can be known of the CUDA path: whether its tensors meet on
one device and in one type, what is copied between the GPU and the CPU, and that nothing which is
captured as a CUDA graph waits for the GPU. What it computes, and how fast, is known on a GPU only.
"""

from collections import Counter
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.utils._python_dispatch import TorchDispatchMode

DEVICE = torch.device("cuda:0")
UNKNOWN_LENGTH = 5  # stands for what only the numbers would tell, such as how many runs a mask has

aten = torch.ops.aten
WAITS = {aten._local_scalar_dense, aten.item, aten.is_nonzero, aten.nonzero}

OF_ONE_TYPE = {
    aten.mm,
    aten.bmm,
    aten.addmm,
    aten.baddbmm,
    aten.matmul,
    aten.linear,
    aten.layer_norm,
    aten.native_layer_norm,
    aten.conv2d,
    aten.conv_transpose2d,
    aten.convolution,
    aten.scaled_dot_product_attention,
}


class Types(TorchDispatchMode):
    """Refuses operands of different types where torch does so on real tensors only."""

    def __torch_dispatch__(self, operator, _types, args=(), kwargs=None):
        named = kwargs or {}
        types = {each.dtype for each in (*args, *named.values()) if isinstance(each, torch.Tensor)}
        if operator.overloadpacket in OF_ONE_TYPE and len(types) > 1:
            raise RuntimeError(f"{operator} of different types: {types}")
        return operator(*args, **named)


class Traffic(TorchDispatchMode):
    """Counts what is copied "to GPU" and "to CPU", and what else "waits" for the GPU's numbers."""

    def __init__(self):
        super().__init__()
        self.seen = Counter()

    def __torch_dispatch__(self, operator, _types, args=(), kwargs=None):
        result = operator(*args, **(kwargs or {}))
        places = {each.device.type for each in args if isinstance(each, torch.Tensor)}
        if operator.overloadpacket in WAITS and "cuda" in places:
            self.seen["waits"] += 1
        elif isinstance(result, torch.Tensor) and places - {result.device.type}:
            self.seen["to GPU" if result.device.type == "cuda" else "to CPU"] += 1
        return result


class Replay:
    """Takes the place of a captured CUDA graph: inputs like the examples, and nothing that waits.

    A capture fails at whatever copies between the devices or waits for the GPU, and a replay reads
    its inputs from the places that the examples had.
    """

    def __init__(self, function, examples):
        self.function = function
        self.examples = examples

    def __call__(self, *inputs):
        for value, example in zip(inputs, self.examples, strict=True):
            assert value.shape == example.shape
            assert value.dtype == example.dtype
            assert value.device == example.device == DEVICE
        with Traffic() as traffic:
            outputs = self.function(*inputs)
        assert not traffic.seen
        return outputs


def _numpy(tensor):
    """Return zeros of the tensor's shape, if it is where NumPy can read."""
    if tensor.device.type != "cpu":
        raise TypeError(f"can't convert {tensor.device} device type tensor to numpy")
    shape = [n if isinstance(n, int) else UNKNOWN_LENGTH for n in tensor.shape]
    return np.zeros(shape, str(tensor.dtype).removeprefix("torch."))


def _is_true(tensor):
    """Ask for one number, as a condition does; it is as if it were not 0."""
    assert tensor.nonzero() is not None
    return True


@contextmanager
def fake_cuda(monkeypatch, model):
    """Play a GPU: `cuda:0` is there, graphs are replayed as `Replay` does, and `model` is loaded.

    timm reads numbers where it builds a model, so the model is a real one. It is not one any more
    after it was brought to the GPU.
    """
    model.image_encoder.fuse_norms()
    monkeypatch.setattr("mobilesam.predictor.load_model", lambda _path: model)
    monkeypatch.setattr("mobilesam.torch_runtime.captured", Replay)
    # Of the spare model for a full GPU: what is fake cannot be copied.
    monkeypatch.setattr("mobilesam.runtime.copy", SimpleNamespace(deepcopy=lambda model: model))
    monkeypatch.setattr("mobilesam.runtime.find_device", lambda _name: DEVICE)
    monkeypatch.setattr(FakeTensor, "numpy", lambda self, **_: _numpy(self))
    monkeypatch.setattr(FakeTensor, "__bool__", _is_true, raising=False)
    with FakeTensorMode(allow_non_fake_inputs=True, shape_env=ShapeEnv()), Types():
        yield
