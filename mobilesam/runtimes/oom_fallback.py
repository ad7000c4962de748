"""Falls back on CUDA out-of-memory: halves the batch, then uses the CPU.

Every call tries the GPU first. Answers that float16 spoils (NaN) come from the CPU in float32 too,
and a GPU that fails for good is told apart from one that fails once.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mobilesam.errors import DeviceLostError
from mobilesam.runtimes.base import Runtime
from mobilesam.runtimes.cuda_device import kernel_fault
from mobilesam.runtimes.device_memory import is_out_of_memory

Result = TypeVar("Result")

log = logging.getLogger(__name__)


class OomFallback:
    """A GPU runtime with a CPU one behind it; see `base.Runtime`.

    Other programs may fill the GPU's memory at any moment and give it back at the next.

    Args:
        gpu: computes as long as it can.
        open_cpu: makes the runtime that computes what the GPU cannot; called once, when needed.

    Attributes:
        on_device_lost: called with the error before it is raised; ends the process, in a service.
    """

    def __init__(self, gpu: Runtime, open_cpu: Callable[[], Runtime]) -> None:
        self.name = gpu.name
        self.precision = gpu.precision
        self.device = gpu.device
        self.batch_size = gpu.batch_size
        self.on_device_lost: Callable[[DeviceLostError], None] | None = None
        self._gpu = gpu
        self._open_cpu = open_cpu
        self._opening = threading.Lock()
        self._opened: Runtime | None = None
        self._has_warned_of_nan = False

    def encode(self, images: Sequence[NDArray[np.uint8]]) -> list[Tensor]:
        """See `Runtime`; those that the CPU made are on the CPU.

        Raises:
            DeviceLostError: the GPU computes nothing any more.
        """
        return self._try_gpu(
            lambda: self._gpu.encode(images), lambda fault: self._encode_in_parts(images, fault)
        )

    def decode(
        self,
        features: Tensor,
        points_xy: NDArray[np.float64],
        point_kinds: list[int],
        mask_logits: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """See `Runtime`; the scores are on the CPU.

        Raises:
            DeviceLostError: the GPU computes nothing any more.
        """

        def on_gpu() -> tuple[Tensor, Tensor]:
            logits, scores = self._gpu.decode(features, points_xy, point_kinds, mask_logits)
            scores = scores.cpu()
            if scores.isfinite().all():
                return logits, scores
            self._warn_of_nan()
            return on_cpu()

        def on_cpu() -> tuple[Tensor, Tensor]:
            logits = None if mask_logits is None else mask_logits.cpu()
            return self._cpu().decode(features.cpu(), points_xy, point_kinds, logits)

        def without_room(fault: str) -> tuple[Tensor, Tensor]:
            _warn_of_full(fault)
            return on_cpu()

        return self._try_gpu(on_gpu, without_room)

    def _encode_in_parts(self, images: Sequence[NDArray[np.uint8]], fault: str) -> list[Tensor]:
        if len(images) > 1:
            log.warning("%d images do not fit into the GPU's memory at once", len(images))
            middle = len(images) // 2
            return self.encode(images[:middle]) + self.encode(images[middle:])
        _warn_of_full(fault)
        return self._cpu().encode(images)

    def _try_gpu(self, on_gpu: Callable[[], Result], otherwise: Callable[[str], Result]) -> Result:
        try:
            return on_gpu()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                self._require_device(error)
                raise
            fault = str(error)
        _free_cached_memory()  # here, since the exception holds what did not fit
        return otherwise(fault)

    def _require_device(self, error: RuntimeError) -> None:
        """Raise where no kernel runs any more.

        After an illegal access, an ECC error or a lost bus, every call of this process fails until
        it ends: CUDA cannot make a new context beside a broken one.
        """
        fault = kernel_fault(self.device)
        if fault is None:
            return
        lost = DeviceLostError(
            f"{self.device} computes nothing any more in this process: {fault}; restart it"
        )
        if self.on_device_lost is not None:
            self.on_device_lost(lost)
        raise lost from error

    def _cpu(self) -> Runtime:
        with self._opening:
            if self._opened is None:
                self._opened = self._open_cpu()
            return self._opened

    def _warn_of_nan(self) -> None:
        if not self._has_warned_of_nan:
            self._has_warned_of_nan = True
            log.warning(
                "the GPU's %s gave no number for a click; the CPU answers such clicks in float32",
                self.precision,
            )


def _warn_of_full(fault: str) -> None:
    log.warning("the GPU's memory is full, the CPU computes instead, far slower: %s", fault)


def _free_cached_memory() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
