"""Pictures to try the software on: a photograph that scikit-image bundles, and generated scenes."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from mobilesam.scenes import generate_scene

SCENE_SEEDS = (9, 13, 25, 44, 53)
SCENE_SIZE_HW = (480, 640)
COINS = "coins.png"
COIN_XY = (335, 42)  # the middle of one coin, in pixels
NAMES = (COINS, *(f"scene_{seed}.png" for seed in SCENE_SEEDS))


def sample_picture(name: str) -> bytes:
    """Make a PNG file.

    Args:
        name: one of `NAMES`.

    Raises:
        KeyError: it is none of them.
    """
    if name == COINS:
        return png_bytes(data.coins())
    seeds = {f"scene_{seed}.png": seed for seed in SCENE_SEEDS}
    return png_bytes(generate_scene(seeds[name], SCENE_SIZE_HW).image)


def png_bytes(image: NDArray[np.uint8]) -> bytes:
    """Make a PNG file of an image, (H, W) grey or (H, W, 3) RGB."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()
