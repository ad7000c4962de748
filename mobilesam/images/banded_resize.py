"""Pillow's bilinear filter on large images: same pixels, multithreaded, less memory.

Pillow copies an image to four bytes a pixel, filters all its rows in one thread, then the columns
of what came out. Here the rows are copied and filtered in bands, in several threads.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

LARGE_PIXELS = 6_000_000  # below, the threads cost what they save
BAND_PIXELS = 2**19  # 2 MB in Pillow's copy; larger bands took as long
MOST_THREADS = 4  # clicks on other images need the rest


def resize_bilinear(image: NDArray[np.uint8], size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize an image as `PIL.Image.resize` with `BILINEAR` does.

    That filter averages over all pixels that fall into one; cv2's and plain interpolation would
    skip pixels of large images.

    Args:
        image: (H, W, 3) uint8.
        size_hw: height and width in pixels.

    Returns:
        (h, w, 3) uint8. Of a large image, where Pillow 13 filters the columns first (images more
        than twice as high as wide, or that change their proportions), a grey level may differ by
        one from Pillow's, which rounds between the two; else none does.
    """
    height, width = size_hw
    if image.shape[0] * image.shape[1] < LARGE_PIXELS:
        small = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(small)
    rows = max(1, BAND_PIXELS // image.shape[1])
    narrow = np.empty((len(image), width, 4), np.uint8)

    def narrow_band(top: int) -> None:
        band = _with_padding(image[top : top + rows])
        narrow[top : top + rows] = _resized(band, (len(band), width))

    with ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1)) as threads:
        list(threads.map(narrow_band, range(0, len(image), rows)))
    return np.ascontiguousarray(_resized(narrow, size_hw)[:, :, :3])


def _with_padding(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 3) -> (H, W, 4), as Pillow lays RGB out: it then takes the array without a copy."""
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2RGBA), np.uint8)


def _resized(image: NDArray[np.uint8], size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    whole = Image.frombuffer("RGBX", (width, height), image, "raw", "RGBX", 0, 1)
    return np.asarray(whole.resize(size_hw[::-1], Image.Resampling.BILINEAR))
