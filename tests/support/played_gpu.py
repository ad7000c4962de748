"""A GPU played on the CPU: tensors that say "cuda:0", and whatever a real one would not forgive.

What is computed is computed, in float16 where that is asked for, so masks can be compared. As on a
GPU it is an error to mix devices or float types, to read a tensor without bringing it to the host,
to wait for the GPU while a graph is captured, and to touch what another stream may be writing or
reading still. A graph is replayed from and to the places that it was captured with.

Streams have no speed here: their order is that of what waits for what, and a missing wait is found
whether or not it would have gone well. Memory is not played: nothing tells who frees it too early,
so `recorded` only lists what was said to be in use on another stream. Kernels are the CPU's. One
thread at a time may use it, the one that has entered it.
"""

import contextlib
from collections import Counter, defaultdict
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

CUDA = torch.device("cuda", 0)
aten = torch.ops.aten

# Where a GPU's kernels want all floats of one type. Composite names too: in inference mode they
# come here whole.
_ONE_TYPE = {
    "addmm", "mm", "bmm", "baddbmm", "linear", "matmul", "convolution", "conv2d",
    "native_layer_norm", "layer_norm",
    "scaled_dot_product_attention", "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_attention_math",
}  # fmt: skip
_IN_FLOAT32 = _ONE_TYPE | {"gelu"}
# After these the host reads what the GPU has found.
_WAITING = {"item", "_local_scalar_dense", "nonzero", "is_nonzero", "equal"}


class GpuTensor(Tensor):
    """A tensor on the played GPU; `inner` is on the CPU and has its numbers."""

    @staticmethod
    def __new__(cls, inner):
        return Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device="cpu",
            dispatch_device=True,
        )

    def __init__(self, inner):
        self.inner = inner

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        if func is torch.ops.prim.device.default:
            return CUDA
        raise AssertionError(f"{func} on a played GPU that this thread has not entered")


class Stream:
    """Plays `torch.cuda.Stream`; `seen` is how far each stream was when this one last waited."""

    def __init__(self, gpu, priority=0):
        self._gpu = gpu
        self.priority = priority
        self.seen = Counter()

    def wait_stream(self, other):
        self.seen |= other.seen

    def synchronize(self):
        self._gpu.wait("synchronize")
        self._gpu.host_seen |= self.seen


class Transfer(NamedTuple):
    to: str  # "gpu" or "host"
    nbytes: int


class Kernel(NamedTuple):
    """One call in a captured graph, with the places that it reads and writes."""

    func: object
    args: tuple
    kwargs: dict
    outputs: list


class Graph:
    """Plays `torch.cuda.CUDAGraph`."""

    def __init__(self, gpu):
        self._gpu = gpu
        self.stream = None  # of its capture
        self.kernels = []
        self.replays = 0

    def replay(self):
        self.replays += 1
        for kernel in self.kernels:
            again = tree_leaves(_computed(kernel.func, kernel.args, kernel.kwargs))
            inputs = [x for x in tree_leaves((kernel.args, kernel.kwargs)) if isinstance(x, Tensor)]
            self._gpu.used(inputs, kernel.outputs, self._gpu.stream)
            for place, value in zip(kernel.outputs, again, strict=True):
                if place.data_ptr() != value.data_ptr():  # no view of an input
                    place.copy_(value)


class PlayedGpu(TorchDispatchMode):
    """The GPU. Entered by the fixture `played_gpu`.

    `transfers` and `waits` of the host are what a test may count; `kernels` what ran, by stream.
    """

    def __init__(self):
        super().__init__()
        self.default_stream = Stream(self)
        self.stream = self.default_stream
        self._streams = [self.default_stream]
        self.host_seen = Counter()
        self.transfers = []
        self.waits = []
        self.recorded = []
        self.kernels = defaultdict(Counter)
        self.graphs = []
        self.allocations = 0  # since `forget`
        self.allocates_until = None  # then `fault` is raised, at every further one
        self.fault = None
        self._capturing = None
        self._written = {}  # storage -> (stream, its time)
        self._read = defaultdict(dict)  # storage -> {stream: its time}

    def play(self, monkeypatch):
        """Put this GPU in the place of torch's."""
        torch._C._ensureCUDADeviceGuardSet()
        cuda = {
            "_lazy_init": lambda: None,
            "init": lambda: None,
            "is_available": lambda: True,
            "device_count": lambda: 1,
            "empty_cache": lambda: None,
            "get_device_name": lambda _device=None: "A played GPU",
            "get_device_capability": lambda _device=None: (9, 0),
            "current_stream": lambda _device=None: self.stream,
            "stream": self._in_stream,
            "Stream": lambda _device=None, priority=0: self._new_stream(priority),
            "CUDAGraph": self._new_graph,
            "graph": self._capture,
            "synchronize": self._synchronize,
        }
        for name, played in cuda.items():
            monkeypatch.setattr(torch.cuda, name, played)
        monkeypatch.setattr(
            Tensor, "record_stream", lambda tensor, stream: self.recorded.append((tensor, stream))
        )

    def forget(self):
        """Begin to count anew."""
        self.allocations = 0
        self.transfers.clear()
        self.waits.clear()
        self.recorded.clear()
        self.kernels.clear()
        for graph in self.graphs:
            graph.replays = 0

    def __enter__(self):
        torch._C._set_only_lift_cpu_tensors(True)
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        return super().__enter__()

    def __exit__(self, *error):
        torch._C._set_only_lift_cpu_tensors(False)
        torch.__future__.set_overwrite_module_params_on_conversion(False)
        return super().__exit__(*error)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.prim.device.default:
            return CUDA
        kwargs = kwargs or {}
        leaves = tree_leaves((args, kwargs))
        inputs = [x.inner for x in leaves if isinstance(x, GpuTensor)]
        host = [x for x in leaves if isinstance(x, Tensor) and not isinstance(x, GpuTensor)]
        devices = [x for x in leaves if isinstance(x, torch.device)]
        name = func.overloadpacket.__name__
        if inputs and devices and devices[0].type == "cpu":
            self._transfer("host", func, kwargs, inputs)
            return func(*_on_host(args), **_on_host(kwargs))
        if not inputs and not any(device.type == "cuda" for device in devices):
            return func(*args, **kwargs)
        self._let_in(func, args, kwargs, inputs, host)
        if name in _WAITING:
            self.wait(name)
        inner_args, inner_kwargs = _on_host(args), _on_host(kwargs)
        result = _computed(func, inner_args, inner_kwargs)
        outputs = [x for x in tree_leaves(result) if isinstance(x, Tensor)]
        self._allocate(inputs, outputs)
        self.used(inputs, outputs, self.stream, is_host_waiting=name in _WAITING)
        self.kernels[self.stream][name] += 1
        if self._capturing is not None:
            self._capturing.kernels.append(Kernel(func, inner_args, inner_kwargs, outputs))
        if func._schema.is_mutable and isinstance(args[0], Tensor):
            return args[0]
        with torch.inference_mode(mode=False):  # else views of weights are refused
            return tree_map(lambda x: GpuTensor(x) if isinstance(x, Tensor) else x, result)

    def _let_in(self, func, args, kwargs, inputs, host):
        """Count what is brought from the host, and refuse what CUDA's operators refuse."""
        name = func.overloadpacket.__name__
        if not inputs and host:
            self._transfer("gpu", func, kwargs, host)
        elif name == "copy_" and host:
            self._transfer("gpu" if isinstance(args[0], GpuTensor) else "host", func, kwargs, host)
        elif any(x.dim() for x in host):
            raise RuntimeError(f"Expected all tensors to be on the same device: {func}")
        floats = {x.dtype for x in inputs if x.is_floating_point()}
        if name in _ONE_TYPE and len(floats) > 1:
            raise RuntimeError(f"expected one float type, got {floats}: {func}")

    def _allocate(self, inputs, outputs):
        """Count what is in memory of its own, and refuse it where that is said to be full."""
        if {x.untyped_storage().data_ptr() for x in outputs} <= {
            x.untyped_storage().data_ptr() for x in inputs
        }:
            return  # views, and what is written in place
        self.allocations += 1
        if self.allocates_until is not None and self.allocations > self.allocates_until:
            raise self.fault

    def wait(self, why):
        """Count that the host waits for the GPU."""
        if self._capturing is not None:
            raise RuntimeError(f"operation not permitted when stream is capturing: {why}")
        self.waits.append(why)

    def used(self, inputs, outputs, stream, *, is_host_waiting=False):
        """Take in that a kernel on a stream used these; refuse it where its turn is not sure."""
        stream.seen |= self.host_seen
        stream.seen[stream] += 1
        now = stream.seen[stream]
        read = {x.untyped_storage().data_ptr() for x in inputs}
        written = {x.untyped_storage().data_ptr() for x in outputs}
        for storage in read:
            writer, time = self._written.get(storage, (stream, 0))
            if stream.seen[writer] < time:
                raise RuntimeError("read on one stream what another one may be writing still")
        for storage in read & written:
            for reader, time in self._read[storage].items():
                if stream.seen[reader] < time:
                    raise RuntimeError("written on one stream what another may be reading still")
        for storage in written - read:  # fresh memory, whatever was there before
            self._read.pop(storage, None)
        for storage in written:
            self._written[storage] = (stream, now)
        for storage in read:
            self._read[storage][stream] = now
        if is_host_waiting:
            self.host_seen |= stream.seen

    def _transfer(self, to, func, kwargs, tensors):
        self.transfers.append(Transfer(to, sum(x.nbytes for x in tensors)))
        is_async = kwargs.get("non_blocking", False)
        if self._capturing is not None:
            raise RuntimeError(f"operation not permitted when stream is capturing: {func}")
        if to == "host" and is_async:
            raise RuntimeError("the host may read this before it is there")
        if not is_async:
            self.wait(f"to {to}")
        if to == "host":
            self.used(tensors, [], self.stream, is_host_waiting=True)

    @contextlib.contextmanager
    def _in_stream(self, stream):
        before, self.stream = self.stream, stream
        try:
            yield
        finally:
            self.stream = before

    def _synchronize(self, device=None):
        self.wait("synchronize")
        for stream in self._streams:
            self.host_seen |= stream.seen

    def _new_stream(self, priority):
        self._streams.append(Stream(self, priority))
        return self._streams[-1]

    def _new_graph(self):
        self.graphs.append(Graph(self))
        return self.graphs[-1]

    @contextlib.contextmanager
    def _capture(self, graph, stream, capture_error_mode="global"):
        self._synchronize()
        self._capturing, graph.stream = graph, stream
        try:
            with self._in_stream(stream):
                yield
        finally:
            self._capturing = None


def _computed(func, args, kwargs):
    """Run a kernel; float16 ones add up in float32, as a GPU does, and on a CPU far sooner."""
    if func.overloadpacket.__name__ not in _IN_FLOAT32:
        return func(*args, **kwargs)
    leaves = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
    if all(x.dtype != torch.float16 for x in leaves):
        return func(*args, **kwargs)

    def cast(tree, dtype, to):
        return tree_map(
            lambda x: x.to(to) if isinstance(x, Tensor) and x.dtype == dtype else x, tree
        )

    result = func(
        *cast(args, torch.float16, torch.float32), **cast(kwargs, torch.float16, torch.float32)
    )
    return cast(result, torch.float32, torch.float16)


def _on_host(tree):
    """Replace played tensors by what is inside, and the played device by the CPU."""

    def replaced(x):
        if isinstance(x, GpuTensor):
            return x.inner
        return torch.device("cpu") if isinstance(x, torch.device) else x

    return tree_map(replaced, tree)
