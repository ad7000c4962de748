"""Does float16 give what float32 gives, with these weights on this GPU?

Finite numbers prove nothing: the official encoder has been seen to give one and the same embedding
for every image in float16, and convolutions on some GPUs fail at some sizes only. So two unlike
images, a click on each, and full batches are compared.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mobilesam.model.prompt_encoder import PADDING, POSITIVE
from mobilesam.runtimes.base import Runtime

LARGEST_ERROR = 0.02  # of features, as a share of their norm; float16 is measured at 0.002
LOWEST_IOU = 0.95
LARGEST_LOGITS_ERROR = 0.05  # weights that segment nothing have masks of noise: IoU says little
_SIZE_HW = (192, 256)


def float16_fault(gpu: Runtime, exact: Runtime) -> str | None:
    """Return what differs between a float16 runtime and one in float32, or None.

    Args:
        gpu: what is judged.
        exact: the same weights in float32.
    """
    return next(_faults(gpu, exact), None)


def _faults(gpu: Runtime, exact: Runtime) -> Iterator[str]:
    images = _unlike_images()
    wanted = [exact.encode([image])[0] for image in images]
    alone = [[image] for image in images]
    together = [images * (size // 2) for size in {2, gpu.batch_size} if size > 1]
    for batch in alone + together:
        for image, features in zip(batch, gpu.encode(batch), strict=True):
            error = _relative_error(features, wanted[image is images[1]])
            if not error <= LARGEST_ERROR:  # NaN too
                yield f"embeddings of {len(batch)} at once are {error:.1%} off"
    for features in wanted:
        yield from _click_faults(features, gpu, exact)


def _click_faults(features: Tensor, gpu: Runtime, exact: Runtime) -> Iterator[str]:
    points_xy = np.array([[128.0, 96.0], [0, 0]])
    (logits, scores), (wanted, _) = (
        runtime.decode(features, points_xy, [POSITIVE, PADDING], None) for runtime in (gpu, exact)
    )
    if not scores.isfinite().all():
        yield "a click's scores are no numbers"
    logits = logits.cpu()
    error = _relative_error(logits, wanted)
    iou = min(_iou(one > 0, other > 0) for one, other in zip(logits, wanted, strict=True))
    if not (error <= LARGEST_LOGITS_ERROR or iou >= LOWEST_IOU):
        yield f"a click's mask has an IoU of {iou:.3f}"


def _unlike_images() -> list[NDArray[np.uint8]]:
    """Return noise, and a bright disc on a slope."""
    height, width = _SIZE_HW
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    y, x = np.mgrid[:height, :width]
    disc = np.where(np.hypot(x - 128, y - 96) < 50, 230, x // 2)
    return [noise, np.repeat(disc.astype(np.uint8)[..., None], 3, axis=2)]


def _relative_error(found: Tensor, wanted: Tensor) -> float:
    found, wanted = found.cpu().float(), wanted.cpu().float()
    return float((found - wanted).norm() / wanted.norm().clamp(min=1e-6))


def _iou(one: Tensor, other: Tensor) -> float:
    union = int(torch.logical_or(one, other).sum())
    return 1.0 if union == 0 else int(torch.logical_and(one, other).sum()) / union
