"""Out of memory on a GPU: recognised in one place, whichever library says it."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")

# torch's allocator has a class for it. cuBLAS and cuDNN allocate handles and workspaces beside it
# (in a thread's first call), CUDA graphs their nodes: those errors have words only. cuDNN says the
# last one where no plan finds room for its workspace.
_WORDS = ("out of memory", "ALLOC_FAILED", "ALLOCATION_FAILED", "unable to find an engine")


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error of torch, cuBLAS, cuDNN or a CUDA graph means a full GPU."""
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in _WORDS)
    )


def with_room(compute: Callable[[], Result], otherwise: Callable[[], Result]) -> Result:
    """Return `compute()`, or `otherwise()` where the GPU's memory does not suffice for it.

    Raises:
        RuntimeError: any other error of `compute`.
    """
    try:
        return compute()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    return otherwise()  # here, since the exception holds what did not fit


def to_device_with_room(tensor: Tensor, device: torch.device) -> Tensor:
    """Bring a tensor to a device in the decoder's layout; it stays where it is if that is full."""
    return with_room(
        lambda: tensor.to(device, memory_format=torch.channels_last),
        lambda: tensor.contiguous(memory_format=torch.channels_last),
    )
