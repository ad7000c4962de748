"""Image pixels to model input and back; the only place with that arithmetic.

Source: MobileSAM and Segment Anything, `utils/transforms.py` and `postprocess_masks`: the long side
to the model's size, normalise, zeros to the right and below.
"""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

PIXEL_MEAN = np.array([123.675, 116.28, 103.53], np.float32)  # of red, green, blue in 0..255
PIXEL_STD = np.array([58.395, 57.12, 57.375], np.float32)
LOGITS_SIZE = 256  # side of the logits that callers see and feed back, whatever the model's own


def resized_hw(size_hw: tuple[int, int], input_size: int) -> tuple[int, int]:
    """Return height and width in pixels of an image whose long side is brought to `input_size`."""
    height, width = size_hw
    scale = input_size / max(height, width)
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))


def to_model_input(image: NDArray[np.uint8], input_size: int) -> Tensor:
    """Resize, normalise and pad an image.

    Args:
        image: (H, W, 3) uint8 RGB.
        input_size: S, side of the square model input in pixels.

    Returns:
        (1, 3, S, S) float32 on the CPU.
    """
    height, width = resized_hw((image.shape[0], image.shape[1]), input_size)
    # PIL's bilinear filter averages over all pixels that fall into one, as the official code's
    # does; cv2 and plain interpolation would skip pixels of large images.
    small = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    normalised = (np.asarray(small, np.float32) - PIXEL_MEAN) / PIXEL_STD
    pixels = torch.zeros(1, 3, input_size, input_size)
    pixels[0, :, :height, :width] = torch.from_numpy(normalised).permute(2, 0, 1)
    return pixels


def to_model_points(
    points_xy: NDArray[np.float64], size_hw: tuple[int, int], input_size: int
) -> NDArray[np.float64]:
    """Scale points (..., 2), in pixels of an image of `size_hw`, to pixels of the model input."""
    height, width = size_hw
    resized_height, resized_width = resized_hw(size_hw, input_size)
    return points_xy * np.array([resized_width / width, resized_height / height])


def to_image_masks(logits: Tensor, size_hw: tuple[int, int], input_size: int) -> Tensor:
    """Bring low-resolution logits back to the image and threshold them at 0.

    Args:
        logits: (K, h, w) float, covering the whole square model input.
        size_hw: height and width of the image in pixels.
        input_size: S, side of the square model input in pixels.

    Returns:
        (K, H, W) bool.
    """
    height, width = resized_hw(size_hw, input_size)
    square = F.interpolate(logits[None], (input_size, input_size), mode="bilinear")
    cut = square[..., :height, :width]
    return F.interpolate(cut, size_hw, mode="bilinear")[0] > 0


def to_shared_logits(logits: Tensor) -> Tensor:
    """Bring a model's logits (K, h, w) to the size that all callers see, (K, 256, 256)."""
    return _sized(logits, LOGITS_SIZE)


def to_model_logits(logits: Tensor, size: int) -> Tensor:
    """Bring logits (K, 256, 256) of an earlier answer to a model's own size, (K, size, size)."""
    return _sized(logits, size)


def _sized(logits: Tensor, size: int) -> Tensor:
    if logits.shape[-1] == size:
        return logits
    mode = "bilinear" if size > logits.shape[-1] else "area"
    return F.interpolate(logits[None], (size, size), mode=mode)[0]
