"""Masks of one prompt, resized to the image lazily."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mobilesam.images.resize import to_image_masks, to_image_masks_on_device
from mobilesam.mask_runs import MaskRuns
from mobilesam.runtimes.device_memory import with_room


@dataclass(frozen=True, eq=False)  # equal tensors are no single truth value
class Masks:
    """K masks for one prompt.

    `low_res` is (K, 256, 256) float32 over the square model input, before the threshold at 0, where
    the predictor computes. `scores` is (K,) float32, the IoU that the model expects of each mask.
    `size_hw` is the image's height and width, `input_size` the side of the model input, all in
    pixels.
    """

    low_res: Tensor
    scores: NDArray[np.float32]
    size_hw: tuple[int, int]
    input_size: int

    @cached_property
    def logits(self) -> NDArray[np.float32]:
        """(K, 256, 256) float32; `logits[k:k+1]` can be fed back as `mask_logits`."""
        logits: NDArray[np.float32] = self.low_res.cpu().numpy()
        return logits

    @cached_property
    def masks(self) -> NDArray[np.bool_]:
        """(K, H, W) bool in pixels of the image; upsampled on first access, then kept."""

        def on_cpu() -> NDArray[np.bool_]:
            return to_image_masks(self.low_res.cpu(), self.size_hw, self.input_size)

        if not self.are_on_gpu:
            return on_cpu()
        return with_room(lambda: self._full_size(self.low_res).cpu().numpy(), on_cpu)

    def best(self) -> "Masks":
        """Return only the mask with the highest score, K = 1."""
        k = int(np.argmax(self.scores))
        chosen = slice(k, k + 1)
        return Masks(self.low_res[chosen], self.scores[chosen], self.size_hw, self.input_size)

    @property
    def are_on_gpu(self) -> bool:
        """Whether the logits are on a GPU: `runs` then copies only run lengths to the host."""
        return self.low_res.device.type != "cpu"

    def runs(self, k: int = 0) -> MaskRuns:
        """Run-length encode mask `k` on the logits' device; on the CPU if that GPU is full."""

        def on_cpu() -> MaskRuns:
            return find_runs(torch.from_numpy(self.masks[k]))

        if not self.are_on_gpu:
            return on_cpu()
        return with_room(lambda: find_runs(self._full_size(self.low_res[k : k + 1])[0]), on_cpu)

    @torch.inference_mode()
    def _full_size(self, low_res: Tensor) -> Tensor:
        return to_image_masks_on_device(low_res, self.size_hw, self.input_size)


@torch.inference_mode()
def find_runs(mask: Tensor) -> MaskRuns:
    """Run-length encode a mask (H, W) bool on its device; one small copy to the host."""
    pixels = mask.flatten()
    changes = torch.nonzero(pixels[1:] != pixels[:-1])[:, 0].to(torch.int32) + 1
    found = torch.cat([pixels[:1].to(torch.int32), changes]).cpu().numpy()
    begins_true = bool(found[0])
    found[0] = 0
    height, width = mask.shape
    return MaskRuns(np.append(found, np.int32(height * width)), begins_true, (height, width))
