"""What fits into a GPU's memory, and what happens where it does not."""

import torch
from torch import Tensor


def to_device_with_room(tensor: Tensor, device: torch.device) -> Tensor:
    """Bring a tensor to a device in the decoder's layout; it stays where it is if that is full."""
    try:
        return tensor.to(device, memory_format=torch.channels_last)
    except torch.OutOfMemoryError:
        return tensor.contiguous(memory_format=torch.channels_last)
