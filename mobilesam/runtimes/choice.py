"""Chooses device, runtime and precision, and says why."""

import functools
import logging
from typing import NamedTuple

import torch

from mobilesam.errors import CheckpointError, DeviceError, RuntimeChoiceError
from mobilesam.runtimes.base import Runtime
from mobilesam.runtimes.cuda_device import FoundDevice, describe_cuda, find_device, prepare_cuda
from mobilesam.runtimes.device_memory import is_out_of_memory
from mobilesam.runtimes.float16_check import float16_fault
from mobilesam.runtimes.oom_fallback import OomFallback
from mobilesam.runtimes.options import PRECISIONS, RUNTIMES
from mobilesam.runtimes.torch_runtime import TorchRuntime
from mobilesam.weights.checkpoint import Weights

log = logging.getLogger(__name__)


class OpenedRuntime(NamedTuple):
    """A runtime, and why it is this device, runtime and precision, for /health and the log."""

    runtime: Runtime
    reason: str


def open_runtime(
    weights: Weights, weights_sha256: str, *, device: str, runtime: str, precision: str
) -> OpenedRuntime:
    """Bring a model to where it runs.

    Args:
        weights: of the model.
        weights_sha256: of the file that they came from.
        device: "auto", "cpu", "cuda" or "cuda:1".
        runtime: "torch", "openvino" (CPU only), or "auto": torch on CUDA, else OpenVINO, or torch
            where OpenVINO cannot be used.
        precision: "auto", the fastest that gives as good masks, "float32", or "float16" (torch
            only; on a CPU it is slow, and shows what a GPU's arithmetic does to masks).

    Raises:
        CheckpointError: the weights are of another model.
        DeviceError: the device does not exist here, is full, or the runtime cannot use it.
        RuntimeChoiceError: no runtime or precision has that name, or it cannot be used here.
    """
    if runtime not in RUNTIMES:
        raise RuntimeChoiceError(f"{runtime!r} is no runtime; use {', '.join(RUNTIMES)}")
    if precision not in PRECISIONS:
        raise RuntimeChoiceError(f"{precision!r} is no precision; use {', '.join(PRECISIONS)}")
    if runtime == "openvino" and device == "auto":
        found = FoundDevice(torch.device("cpu"), "OpenVINO runs on the CPU")
    else:
        found = find_device(device)
    open_cpu = functools.partial(
        _open_cpu, weights_sha256=weights_sha256, runtime=runtime, precision=precision
    )
    if found.device.type == "cpu":
        return open_cpu(weights, place=found.reason)
    if runtime == "openvino":
        raise DeviceError(f"openvino does not run on {found.device}; use cpu, or the runtime torch")
    try:
        return _open_gpu(weights, weights_sha256, found, runtime=runtime, precision=precision)
    except RuntimeError as error:
        fault = str(error)
        if is_out_of_memory(error):
            raise DeviceError(
                f"the model does not fit into the memory of {found.device}: {fault}; end what else "
                "uses it, or use cpu"
            ) from error
        if device != "auto":
            raise DeviceError(
                f"{found.device} cannot be used: {fault}; {describe_cuda(found.device)}; use cpu"
            ) from error
    log.warning("the CPU runs the model, since the GPU cannot: %s", fault)
    return open_cpu(weights, place=f"CUDA cannot be used ({fault.splitlines()[0]})")


def _open_cpu(
    weights: Weights, *, place: str, weights_sha256: str, runtime: str, precision: str
) -> OpenedRuntime:
    if runtime == "torch":
        opened: Runtime = TorchRuntime(weights.build_fused_model(), torch.device("cpu"), precision)
        return _explained(opened, place, "torch was asked for", precision)
    if precision == "float16":
        raise RuntimeChoiceError(
            "only torch computes in float16; use the runtime torch or precision auto"
        )
    try:
        # Here, because OpenVINO has no build for some systems, and there it must not be missed.
        from mobilesam.runtimes.openvino_runtime import OpenVinoRuntime  # noqa: PLC0415

        opened = OpenVinoRuntime(weights, weights_sha256, precision)
    except CheckpointError:
        raise
    except Exception as error:  # OpenVINO's errors have no base of their own
        if runtime == "openvino":
            raise RuntimeChoiceError(
                f"openvino cannot be used here: {error}; use the runtime torch"
            ) from error
        log.warning("torch runs the model, slower than OpenVINO, which cannot: %s", error)
        opened = TorchRuntime(weights.build_fused_model(), torch.device("cpu"), precision)
        return _explained(opened, place, "OpenVINO cannot be used here, see the log", precision)
    asked = runtime == "openvino"
    program = "openvino was asked for" if asked else "OpenVINO is the fastest on a CPU"
    return _explained(opened, place, program, precision)


def _explained(opened: Runtime, place: str, program: str, precision: str) -> OpenedRuntime:
    if precision == opened.precision:
        numbers = f"{precision} was asked for"
    elif opened.name == "torch":
        numbers = "torch computes in float32 on a CPU"
    elif opened.precision == "bfloat16":
        numbers = "the processor computes in bfloat16"
    else:
        numbers = "the processor has no bfloat16 that OpenVINO could use"
    return OpenedRuntime(opened, f"{place}; {program}; {numbers}")


def _open_gpu(
    weights: Weights,
    weights_sha256: str,
    found: FoundDevice,
    *,
    runtime: str,
    precision: str,
) -> OpenedRuntime:
    program = "torch was asked for" if runtime == "torch" else "torch runs on CUDA"
    prepare_cuda(is_exact=precision == "float32")
    gpu = TorchRuntime(weights.build_fused_model(), found.device, precision)
    numbers = "float16 is the fastest on CUDA"
    if precision == gpu.precision:
        numbers = f"{precision} was asked for"
    if gpu.precision == "float16":
        exact = TorchRuntime(weights.build_fused_model(), torch.device("cpu"), "float32")
        fault = float16_fault(gpu, exact)
        if fault is not None:
            log.warning("the GPU uses float32, float16 differs with these weights: %s", fault)
            numbers = f"float16 differs from float32 with these weights ({fault})"
            gpu = TorchRuntime(weights.build_fused_model(), found.device, "float32")

    def open_spare() -> Runtime:
        return _open_cpu(
            weights, place="", weights_sha256=weights_sha256, runtime="auto", precision="auto"
        ).runtime

    return OpenedRuntime(OomFallback(gpu, open_spare), f"{found.reason}; {program}; {numbers}")
