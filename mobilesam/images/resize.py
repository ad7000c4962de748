"""Image pixels to model input and back; the only place with that arithmetic.

Source: MobileSAM and Segment Anything, `utils/transforms.py` and `postprocess_masks`: the long side
to the model's size, normalise, zeros to the right and below.
"""

from typing import cast

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from mobilesam.images.banded_resize import resize_bilinear

PIXEL_MEAN = np.array([123.675, 116.28, 103.53], np.float32)  # of red, green, blue in 0..255
PIXEL_STD = np.array([58.395, 57.12, 57.375], np.float32)
LOGITS_SIZE = 256  # side of the logits that callers see and feed back, whatever the model's own
# Pixels to one, in each direction, that torch's CUDA kernel averages at most: what it needs of a
# GPU's shared memory grows with it, and is refused from about 94 on.
LARGEST_SHRINK = 64

# Each of the 256 values of each channel, normalised: (1, 256, 3), as cv2 looks them up.
_NORMALISED = ((np.arange(256, dtype=np.float32)[:, None] - PIXEL_MEAN) / PIXEL_STD)[None]


def resized_hw(size_hw: tuple[int, int], input_size: int) -> tuple[int, int]:
    """Return height and width in pixels of an image whose long side is brought to `input_size`."""
    height, width = size_hw
    scale = input_size / max(height, width)
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))


def to_input_pixels(image: NDArray[np.uint8], input_size: int) -> NDArray[np.float32]:
    """Resize, normalise and pad an image.

    Args:
        image: (H, W, 3) uint8 RGB.
        input_size: S, side of the square model input in pixels.

    Returns:
        (S, S, 3) float32.
    """
    height, width = resized_hw((image.shape[0], image.shape[1]), input_size)
    normalised = cv2.LUT(resize_bilinear(image, (height, width)), _NORMALISED)
    below, right = input_size - height, input_size - width
    pixels = cv2.copyMakeBorder(normalised, 0, below, 0, right, cv2.BORDER_CONSTANT)
    return cast("NDArray[np.float32]", pixels)


def to_model_input(image: NDArray[np.uint8], input_size: int) -> Tensor:
    """Return `to_input_pixels` as torch wants it, (1, 3, S, S) float32 on the CPU."""
    pixels = torch.from_numpy(to_input_pixels(image, input_size))
    return pixels.permute(2, 0, 1)[None].contiguous()


def pixel_statistics(device: torch.device) -> Tensor:
    """Return `PIXEL_MEAN` and `PIXEL_STD` where images are, (2, 3, 1, 1) float32."""
    return torch.from_numpy(np.stack([PIXEL_MEAN, PIXEL_STD])).to(device)[..., None, None]


def to_model_input_on_device(image: Tensor, input_size: int, statistics: Tensor) -> Tensor:
    """Resize, normalise and pad an image where it is; for images that are on a GPU.

    Grey levels differ from PIL's by one at most, which rounds once more on the way.

    Args:
        image: (H, W, 3) uint8 RGB.
        input_size: S, side of the square model input in pixels.
        statistics: of `pixel_statistics` on the image's device.

    Returns:
        (1, 3, S, S) float32 on the image's device.

    Raises:
        RuntimeError: on CUDA, the image is larger than `LARGEST_SHRINK` allows.
    """
    height, width = resized_hw((image.shape[0], image.shape[1]), input_size)
    small = F.interpolate(
        image.permute(2, 0, 1)[None].float(), (height, width), mode="bilinear", antialias=True
    )
    mean, std = statistics
    normalised = (small.round().clamp(0, 255) - mean) / std
    return F.pad(normalised, (0, input_size - width, 0, input_size - height))


def to_model_points(
    points_xy: NDArray[np.float64], size_hw: tuple[int, int], input_size: int
) -> NDArray[np.float64]:
    """Scale points (..., 2), in pixels of an image of `size_hw`, to pixels of the model input."""
    height, width = size_hw
    resized_height, resized_width = resized_hw(size_hw, input_size)
    return points_xy * np.array([resized_width / width, resized_height / height])


def to_image_masks(logits: Tensor, size_hw: tuple[int, int], input_size: int) -> NDArray[np.bool_]:
    """Bring low-resolution logits back to the image and threshold them at 0.

    Args:
        logits: (K, h, w) float32 on the CPU, covering the whole square model input.
        size_hw: height and width of the image in pixels.
        input_size: S, side of the square model input in pixels.

    Returns:
        (K, H, W) bool.
    """
    height, width = resized_hw(size_hw, input_size)
    # The same arithmetic, three times as fast, and without torch's threads: they would wait for
    # those that embed another image.
    masks = np.empty((len(logits), *size_hw), np.bool_)
    for mask, one in zip(masks, logits.numpy(), strict=True):
        square_of_one = _bilinear(one, (input_size, input_size))
        np.greater(_bilinear(square_of_one[:height, :width], size_hw), 0, out=mask)
    return masks


def to_image_masks_on_device(logits: Tensor, size_hw: tuple[int, int], input_size: int) -> Tensor:
    """`to_image_masks` in torch alone: (K, H, W) bool on the device of the logits."""
    height, width = resized_hw(size_hw, input_size)
    square = F.interpolate(logits[None], (input_size, input_size), mode="bilinear")
    return F.interpolate(square[..., :height, :width], size_hw, mode="bilinear")[0] > 0


def to_shared_logits(logits: Tensor) -> Tensor:
    """Bring a model's logits (K, h, w) to the size that all callers see, (K, 256, 256)."""
    return _sized(logits, LOGITS_SIZE)


def to_model_logits(logits: Tensor, size: int) -> Tensor:
    """Bring logits (K, 256, 256) of an earlier answer to a model's own size, (K, size, size)."""
    return _sized(logits, size)


def _sized(logits: Tensor, size: int) -> Tensor:
    if logits.shape[-1] == size:
        return logits
    if size > logits.shape[-1] and logits.device.type == "cpu":
        larger = [_bilinear(one, (size, size)) for one in logits.numpy()]
        return torch.from_numpy(np.stack(larger))
    mode = "bilinear" if size > logits.shape[-1] else "area"
    return F.interpolate(logits[None], (size, size), mode=mode)[0]


def _bilinear(x: NDArray[np.float32], size_hw: tuple[int, int]) -> NDArray[np.float32]:
    """Resize (h, w) to (H, W) without antialiasing."""
    resized = cv2.resize(x, size_hw[::-1], interpolation=cv2.INTER_LINEAR)
    return cast("NDArray[np.float32]", resized)
