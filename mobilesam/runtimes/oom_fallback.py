"""A GPU whose memory is full: smaller batches, then the CPU, and the GPU again when it can."""

import logging
import threading
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mobilesam.runtimes.base import Runtime

log = logging.getLogger(__name__)


class OomFallback:
    """See `base.Runtime`. Goes on where the GPU's memory does not suffice.

    Other programs may fill it at any moment, so the GPU is tried first each time.

    Args:
        gpu: computes as long as it can.
        open_cpu: makes the runtime that computes what the GPU cannot; called once, when needed.
    """

    def __init__(self, gpu: Runtime, open_cpu: Callable[[], Runtime]) -> None:
        self.name = gpu.name
        self.precision = gpu.precision
        self.device = gpu.device
        self.batch_size = gpu.batch_size
        self._gpu = gpu
        self._open_cpu = open_cpu
        self._opening = threading.Lock()
        self._opened: Runtime | None = None

    def encode(self, images: Sequence[NDArray[np.uint8]]) -> Tensor:
        """See `Runtime`; the embeddings are on the CPU where one of them was made there."""
        try:
            return self._gpu.encode(images)
        except torch.OutOfMemoryError as error:
            fault = str(error)
        _free_cached_memory()  # here, since the exception holds what did not fit
        if len(images) > 1:
            log.warning("%d images do not fit into the GPU's memory at once", len(images))
            middle = len(images) // 2
            parts = [self.encode(images[:middle]), self.encode(images[middle:])]
            if any(part.device.type == "cpu" for part in parts):
                parts = [part.cpu().float() for part in parts]
            return torch.cat(parts)
        return self._cpu(fault).encode(images)

    def decode(
        self,
        features: Tensor,
        points_xy: NDArray[np.float64],
        point_kinds: list[int],
        mask_logits: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """See `Runtime`."""
        try:
            return self._gpu.decode(features, points_xy, point_kinds, mask_logits)
        except torch.OutOfMemoryError as error:
            fault = str(error)
        _free_cached_memory()
        logits = None if mask_logits is None else mask_logits.cpu()
        return self._cpu(fault).decode(features.cpu(), points_xy, point_kinds, logits)

    def _cpu(self, fault: str) -> Runtime:
        log.warning("the GPU's memory is full, the CPU computes instead, far slower: %s", fault)
        with self._opening:
            if self._opened is None:
                self._opened = self._open_cpu()
            return self._opened


def _free_cached_memory() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
