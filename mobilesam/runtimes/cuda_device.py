"""Which device there is, whether torch can compute on it, and why not."""

import subprocess
from typing import NamedTuple

import torch

from mobilesam.errors import DeviceError
from mobilesam.runtimes.device_memory import is_out_of_memory

# What torch says where nobody would expect a GPU; all else is worth telling.
_NONE_THERE = ("Found no NVIDIA driver", "No CUDA GPUs are available", "not compiled with CUDA")


class FoundDevice(NamedTuple):
    """A device that computes, and why it is this one, in words for /health and the log."""

    device: torch.device
    reason: str


def find_device(name: str) -> FoundDevice:
    """Return the device of that name; "auto" is CUDA where that computes, else the CPU.

    `torch.cuda.is_available()` is no proof: it is true for a GPU that this torch has no code for,
    whose first kernel then fails. So one kernel is run.

    Raises:
        DeviceError: it does not exist here, or does not compute.
    """
    try:
        device = torch.device("cuda" if name == "auto" else name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise DeviceError(f"{name!r} is no device; use auto, cpu, cuda or cuda:N")
    if device.type == "cpu":
        return FoundDevice(device, "cpu was asked for")
    fault = _cuda_fault(device)
    if fault is None:
        return FoundDevice(
            device, "a CUDA device is there" if name == "auto" else f"{device} was asked for"
        )
    if name == "auto":
        is_expected = any(words in fault for words in _NONE_THERE)
        reason = "no CUDA device is there" if is_expected else f"CUDA cannot be used ({fault})"
        return FoundDevice(torch.device("cpu"), reason)
    raise DeviceError(
        f"{name!r} cannot be used: {fault}; {describe_cuda(device)}; use auto or cpu, or see "
        "docs/gpu.md for drivers and GPUs that work"
    )


def kernel_fault(device: torch.device) -> str | None:
    """Run one kernel and wait for it; return what is wrong, None if nothing is.

    A full GPU is no fault.
    """
    try:
        total = torch.ones(8, device=device).sum().item()
    except RuntimeError as error:  # torch.AcceleratorError is one
        return None if is_out_of_memory(error) else _first_line(error)
    return None if total == 8 else f"it adds eight ones to {total}"


def describe_cuda(device: torch.device) -> str:
    """Name the GPU, its driver, and the CUDA and architectures that torch is built for."""
    try:
        major, minor = torch.cuda.get_device_capability(device)
        gpu = f"{torch.cuda.get_device_name(device)} (sm_{major}{minor})"
    except (RuntimeError, AssertionError):  # torch asserts that it was built with CUDA
        gpu = "no GPU that torch can name"
    built_for = " ".join(torch.cuda.get_arch_list()) or "no GPU"
    return (
        f"{gpu}, driver {_driver_version()}, torch {torch.__version__} for CUDA "
        f"{torch.version.cuda} and {built_for}"
    )


def prepare_cuda(*, is_exact: bool) -> None:
    """Set what torch keeps for the whole process.

    cuDNN's attention is off: on sm_90 and sm_100 torch prefers it, and with a bias that is expanded
    it has refused shapes ("No execution plans support the graph") without trying another kernel.
    float16 sums stay in float32. TF32 is as good as float16 where that was not good enough.

    Args:
        is_exact: float32 was asked for, so it is not rounded to TF32.
    """
    torch.backends.cuda.enable_cudnn_sdp(False)
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_tf32 = not is_exact
    torch.backends.cudnn.allow_tf32 = not is_exact


def _cuda_fault(device: torch.device) -> str | None:
    if torch.version.hip is not None:
        return "AMD's ROCm is not supported"
    try:
        torch.cuda.init()  # says why there is none: `is_available` only warns of an old driver
    except (RuntimeError, AssertionError) as error:
        return _first_line(error)
    count = torch.cuda.device_count()
    if (device.index or 0) >= count:
        return f"torch sees {count} CUDA devices"
    return kernel_fault(device)


def _driver_version() -> str:
    asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(asked, check=True, capture_output=True, text=True, timeout=10)
        return done.stdout.split()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        return "unknown"


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
