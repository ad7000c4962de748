"""Chooses device, runtime and precision, and says why."""

import functools
import logging

import numpy as np
import torch

from mobilesam.errors import CheckpointError, DeviceError, RuntimeChoiceError
from mobilesam.model.prompt_encoder import POSITIVE
from mobilesam.runtimes.base import Runtime
from mobilesam.runtimes.oom_fallback import OomFallback
from mobilesam.runtimes.options import PRECISIONS, RUNTIMES
from mobilesam.runtimes.torch_runtime import TorchRuntime
from mobilesam.weights.checkpoint import Weights

log = logging.getLogger(__name__)


def open_runtime(
    weights: Weights, weights_sha256: str, *, device: str, runtime: str, precision: str
) -> Runtime:
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
    place = find_device("cpu" if runtime == "openvino" and device == "auto" else device)
    if runtime == "openvino" and place.type != "cpu":
        raise DeviceError(f"openvino does not run on {place}; use cpu, or the runtime torch")
    if place.type != "cpu":
        return _open_gpu(weights, weights_sha256, place, precision)
    if precision == "float16" and runtime != "torch":
        raise RuntimeChoiceError(
            "only torch computes in float16; use the runtime torch or precision auto"
        )
    if runtime == "torch":
        return TorchRuntime(weights.build_fused_model(), place, precision)
    try:
        # Here, because OpenVINO has no build for some systems, and there it must not be missed.
        from mobilesam.runtimes.openvino_runtime import OpenVinoRuntime  # noqa: PLC0415

        return OpenVinoRuntime(weights, weights_sha256, precision)
    except CheckpointError:
        raise
    except Exception as error:  # OpenVINO's errors have no base of their own
        if runtime == "openvino":
            raise RuntimeChoiceError(
                f"openvino cannot be used here: {error}; use the runtime torch"
            ) from error
        log.warning("torch runs the model, slower than OpenVINO, which cannot: %s", error)
        return TorchRuntime(weights.build_fused_model(), place, precision)


def _open_gpu(
    weights: Weights, weights_sha256: str, device: torch.device, precision: str
) -> Runtime:
    open_cpu = functools.partial(
        open_runtime,
        weights,  # 40 MB, on the CPU
        weights_sha256,
        device="cpu",
        runtime="auto",
        precision="auto" if precision == "float16" else precision,
    )
    try:
        first = TorchRuntime(weights.build_fused_model(), device, precision)
        gpu = OomFallback(first, open_cpu)
        if gpu.precision == "float16" and not _has_finite_answers(gpu):
            log.warning("float16 cannot hold what these weights compute; the GPU uses float32")
            again = TorchRuntime(weights.build_fused_model(), device, "float32")
            gpu = OomFallback(again, open_cpu)
    except torch.OutOfMemoryError as error:
        raise DeviceError(
            f"the model does not fit into the memory of {device}: {error}; end what else uses it, "
            "or use cpu"
        ) from error
    return gpu


def _has_finite_answers(runtime: Runtime) -> bool:
    """Whether an image and a click give numbers; what is beyond 65,504 is none in float16."""
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    features = runtime.encode([noise])
    logits, _ = runtime.decode(features, np.full((1, 2), 100.0), [POSITIVE], None)
    return bool(features.isfinite().all() and logits.isfinite().all())


def explain_choice(opened: Runtime, *, device: str, runtime: str, precision: str) -> str:
    """Say why it is this device, runtime and precision, in words for whoever runs it.

    Args:
        opened: what `open_runtime` returned.
        device: as for `open_runtime`, as are the others.
        runtime: likewise.
        precision: likewise.
    """
    is_cpu = opened.device.type == "cpu"
    if device != "auto":
        place = f"{opened.device} was asked for"
    elif runtime == "openvino":
        place = "OpenVINO runs on the CPU"
    else:
        place = "no CUDA device is there" if is_cpu else "a CUDA device is there"
    if runtime != "auto":
        program = f"{runtime} was asked for"
    elif not is_cpu:
        program = "torch runs on CUDA"
    elif opened.name == "openvino":
        program = "OpenVINO is the fastest on a CPU"
    else:
        program = "OpenVINO cannot be used here, see the log"
    numbers = {
        "bfloat16": "the processor computes in bfloat16",
        "float16": "float16 is the fastest on CUDA",
        "float32": "the processor has no bfloat16 that OpenVINO could use",
    }[opened.precision]
    if precision != "auto" and precision == opened.precision:
        numbers = f"{precision} was asked for"
    elif is_cpu and opened.name == "torch":
        numbers = "torch computes in float32 on a CPU"
    elif opened.precision == "float32" and not is_cpu:
        numbers = "float16 cannot hold what these weights compute"
    return f"{place}; {program}; {numbers}"


def find_device(name: str) -> torch.device:
    """Return the device of that name; "auto" is CUDA where there is one.

    Raises:
        DeviceError: it does not exist here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise DeviceError(f"{name!r} is no device; use auto, cpu, cuda or cuda:N")
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if (device.index or 0) >= count:
            raise DeviceError(
                f"{name!r} is not there, torch sees {count} CUDA devices; use auto or cpu"
            )
    return device
