"""Windows of labelled images at many scales, varied as if they were other pictures.

A window is a square of the image, as zoom cuts it, or the whole image with zeros to its right and
below, as the model sees it without zoom.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from mobilesam.coco_instances import CocoImage
from mobilesam.images.resize import PIXEL_MEAN, PIXEL_STD
from mobilesam.mask_geometry import Mask, bounding_box
from mobilesam.sam import load_image

Pixels = NDArray[np.uint8]
Load = Callable[[CocoImage], Pixels]

WHOLE_SHARE = 0.4  # of the windows that show the whole image
NARROWEST, WIDEST = 1.3, 6.0  # side of a window, in long sides of its object
SMALLEST_SHARE = 0.2  # of the model's input: a window's least side in pixels of the image
OFF_CENTRE = 0.25  # of the window's side, at most, between its centre and the object's
LEAST_VISIBLE = 0.001  # of the window's area: a smaller piece of an object is not asked for


@dataclass(frozen=True)
class Window:
    """What the model sees of one image.

    `pixels` is (S, S, 3) float32, normalised, zero outside the image; `masks` (P, S, S) bool, one
    for each object that is asked for.
    """

    pixels: NDArray[np.float32]
    masks: NDArray[np.bool_]


@dataclass(frozen=True)
class Square:
    """A square of an image in its pixels; it may reach over the image's borders."""

    left: int
    top: int
    side: int

    def cut(self, array: Pixels, size: int) -> Pixels:
        """Resize what the square shows of an array (H, W, ...) to (size, size, ...), else 0."""
        height, width = array.shape[:2]
        x0, x1 = max(0, self.left), min(width, self.left + self.side)
        y0, y1 = max(0, self.top), min(height, self.top + self.side)
        scale = size / self.side
        to_x, to_y = round((x0 - self.left) * scale), round((y0 - self.top) * scale)
        to_width = max(1, min(size - to_x, round((x1 - x0) * scale)))
        to_height = max(1, min(size - to_y, round((y1 - y0) * scale)))
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        part = np.ascontiguousarray(array[y0:y1, x0:x1])
        cut = np.zeros((size, size, *array.shape[2:]), np.uint8)
        cut[to_y : to_y + to_height, to_x : to_x + to_width] = cv2.resize(
            part, (to_width, to_height), interpolation=how
        )
        return cut


def load_labelled(image: CocoImage) -> Pixels:
    """Read an image of a COCO file, (H, W, 3)."""
    return load_image(image.path)


def draw_window(
    rng: Generator,
    image: CocoImage,
    *,
    input_size: int,
    objects: int,
    load: Load = load_labelled,
) -> Window | None:
    """Cut a random window around a random object, turned, mirrored and recoloured.

    Args:
        rng: the only source of randomness.
        image: with at least one object.
        input_size: S, side of the model's input in pixels.
        objects: P, how many to ask for; where fewer are to be seen, some come twice.
        load: reads the image's pixels.

    Returns:
        None if nothing of the image's objects can be seen at this scale.

    Raises:
        ImageError: the image cannot be read, or its size is not the one that the file names.
    """
    turn, mirror = int(rng.integers(4)), bool(rng.random() < 0.5)

    def turned(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
        array = np.rot90(array, turn)
        return array[:, ::-1] if mirror else array

    order = [int(index) for index in rng.permutation(len(image.segmentations))]
    first = turned(image.mask(order[0]).view(np.uint8))
    if not first.any():
        return None
    square = draw_square(rng, first.astype(bool), input_size=input_size)
    seen: list[Mask] = []
    for index in order:
        mask = first if index == order[0] else turned(image.mask(index).view(np.uint8))
        cut = square.cut(mask * np.uint8(255), input_size) >= 128
        if cut.sum() >= LEAST_VISIBLE * input_size**2 and not cut.all():
            seen.append(cut)
        if len(seen) == objects:
            break
    if not seen:
        return None
    pixels = square.cut(turned(load(image)), input_size)
    inside = square.cut(np.full(first.shape, 255, np.uint8), input_size) >= 128
    coloured = (recoloured(rng, pixels) - PIXEL_MEAN) / PIXEL_STD
    chosen = rng.permutation(np.resize(np.arange(len(seen)), objects))
    return Window(
        (coloured * inside[..., None]).astype(np.float32), np.stack([seen[i] for i in chosen])
    )


def draw_square(rng: Generator, mask: Mask, *, input_size: int) -> Square:
    """Choose the whole image, or a window of a random scale around an object (H, W)."""
    height, width = mask.shape
    x0, y0, x1, y1 = bounding_box(mask)
    longest = max(x1 - x0, y1 - y0)
    side = longest * np.exp(rng.uniform(np.log(NARROWEST), np.log(WIDEST)))
    side = round(max(side, SMALLEST_SHARE * input_size, 8))
    if rng.random() < WHOLE_SHARE or side >= max(height, width):
        return Square(0, 0, max(height, width))
    centre = np.array([x0 + x1, y0 + y1]) / 2 + rng.uniform(-OFF_CENTRE, OFF_CENTRE, 2) * side
    left, top = (round(float(one) - side / 2) for one in centre)
    return Square(left, top, side)


def recoloured(rng: Generator, pixels: Pixels) -> NDArray[np.float32]:
    """Vary light, contrast and colours of pixels (H, W, 3) in 0..255, or take the colours away."""
    image: NDArray[np.floating] = pixels.astype(np.float32)
    chance = rng.random(5)
    if chance[0] < 0.15:
        image = np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2)
    elif chance[0] < 0.25:
        image = image[..., rng.permutation(3)]
    if chance[1] < 0.1:
        image = 255 - image
    if chance[2] < 0.6:
        grey = image.mean(axis=2, keepdims=True)
        image = grey + (image - grey) * np.float32(rng.uniform(0.5, 1.5))
        mean = image.mean()
        image = mean + (image - mean) * np.float32(rng.uniform(0.6, 1.4))
        image = image + np.float32(rng.uniform(-35, 35))
    if chance[3] < 0.15:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.2)), np.float32)
    if chance[4] < 0.15:
        image = image + rng.normal(0, rng.uniform(1, 10), image.shape)
    return np.clip(image, 0, 255).astype(np.float32)
