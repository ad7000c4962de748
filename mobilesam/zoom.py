"""Zoom: small objects and large images, segmented in a window of the image.

The model sees an image at its input size, whatever the image's own: on 12 megapixels a cell of the
mask is 16 pixels wide. A window about the object, encoded by itself, shows it larger.

The size of an object must be known for that. A box says it. A first click does not, and nothing
computed from one does, so it is answered from the whole image unless other objects of its kind tell
the size; from the second click on, the mask so far tells it. A window is a function of the image,
the prompt and that size, never of what was answered before to somebody else.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from mobilesam.images.resize import LOGITS_SIZE, PIXEL_MEAN, resized_hw
from mobilesam.mask_runs import MaskRuns
from mobilesam.masks import Masks, find_runs
from mobilesam.predictor import Embedding, Predictor
from mobilesam.refining import LogitsMemory, ObjectPrompt, predict_refined

Zoom = Literal["auto", "on", "off"]

SIDE_PER_EXTENT = 3.0  # of a window and of what is known of its object
SIDE_PER_KNOWN_SIZE = 4.0  # about a first click, which need not be in the object's middle
LEAST_SIDE = 0.25  # of the model input: a narrower window shows nothing more
LEAST_GAIN = 1.5  # image's long side to the window's; below, an encode buys too little
LEAST_TURN = 1.4  # between the sides of two windows; below, the earlier one serves on
FOLLOWING_CLICKS = 6  # the window follows the mask up to this click, then it stays

_OUTSIDE = PIXEL_MEAN.round().astype(np.uint8)  # what the model knows as nothing

Extent = tuple[float, float, float, float]


@dataclass(frozen=True)
class Window:
    """A square of an image, in whole pixels; it may reach over the image's borders."""

    left: int
    top: int
    side: int

    def cut(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return what the window shows of an image (H, W, 3): (side, side, 3), grey outside."""
        height, width = image.shape[:2]
        picture = np.empty((self.side, self.side, 3), np.uint8)
        picture[:] = _OUTSIDE
        rows, columns = self._inside((height, width))
        picture[self._shifted(rows, self.top), self._shifted(columns, self.left)] = image[
            rows, columns
        ]
        return picture

    def paste(self, mask: NDArray[np.bool_], size_hw: tuple[int, int]) -> NDArray[np.bool_]:
        """Return a mask (side, side) of the window as one of the image (H, W), False around it."""
        full = np.zeros(size_hw, np.bool_)
        rows, columns = self._inside(size_hw)
        full[rows, columns] = mask[self._shifted(rows, self.top), self._shifted(columns, self.left)]
        return full

    def holds(self, xy: tuple[float, float]) -> bool:
        """Say whether a point of the image is in the window."""
        x, y = xy[0] - self.left, xy[1] - self.top
        return 0 <= x < self.side and 0 <= y < self.side

    def of_prompt(self, prompt: ObjectPrompt) -> ObjectPrompt:
        """Return a prompt in pixels of the window, without negative points outside it."""
        kept = [
            ((x - self.left, y - self.top), label)
            for (x, y), label in zip(prompt.points_xy, prompt.point_labels, strict=True)
            if label or self.holds((x, y))
        ]
        box = prompt.box_xyxy
        if box is not None:
            left, top, right, bottom = box
            box = (left - self.left, top - self.top, right - self.left, bottom - self.top)
        return ObjectPrompt(tuple(xy for xy, _ in kept), tuple(label for _, label in kept), box)

    def masks_of_image(self, masks: Masks, image_hw: tuple[int, int]) -> "WindowMasks":
        """Return masks that were decoded in the window as those of the image."""
        return WindowMasks(
            masks.low_res, masks.scores, masks.size_hw, masks.input_size, self, image_hw
        )

    def _inside(self, size_hw: tuple[int, int]) -> tuple[slice, slice]:
        height, width = size_hw
        rows = slice(min(max(0, self.top), height), max(0, min(height, self.top + self.side)))
        columns = slice(min(max(0, self.left), width), max(0, min(width, self.left + self.side)))
        return rows, columns

    @staticmethod
    def _shifted(part: slice, by: int) -> slice:
        return slice(part.start - by, part.stop - by)


@dataclass(frozen=True, eq=False)
class WindowMasks(Masks):
    """Masks that were decoded in a window; `masks` and `runs` are those of the image.

    `size_hw`, `low_res` and `logits` are the window's; `image_hw` is the image's height and width.
    """

    window: Window
    image_hw: tuple[int, int]

    @cached_property
    def masks(self) -> NDArray[np.bool_]:
        """(K, H, W) bool in pixels of the image, False outside the window."""
        inside = Masks(self.low_res, self.scores, self.size_hw, self.input_size).masks
        return np.stack([self.window.paste(mask, self.image_hw) for mask in inside])

    @property
    def are_on_gpu(self) -> bool:
        """No: a window's pixels are few, and the image's around them are not there."""
        return False

    def runs(self, k: int = 0) -> MaskRuns:
        """Return the runs of one mask, in the image."""
        return find_runs(torch.from_numpy(self.masks[k]))


@dataclass(frozen=True)
class View:
    """Where a prompt was answered, and how far its mask reaches: what the next click needs.

    `window` is None for the whole image; `extent` is left, top, right, bottom in pixels of the
    image around the mask's parts under positive points, None where there are none.
    """

    window: Window | None
    extent: Extent | None


class ZoomedImage(Protocol):
    """An image whose windows can be embedded, and what is remembered of its prompts."""

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""

    def embedding(self, window: Window | None) -> Embedding:
        """Return the embedding of a window, or of the whole image."""

    def logits(self, window: Window | None) -> LogitsMemory | None:
        """Return the memory of the masks that were decoded there."""

    def view(self, prompt: ObjectPrompt) -> View | None:
        """Return what was kept for a prompt; may forget any."""

    def keep_view(self, prompt: ObjectPrompt, view: View) -> None:
        """Keep a prompt's view for its next click."""


class ImagePixels:
    """A `ZoomedImage` of pixels that are there, (H, W, 3) uint8; keeps what it has embedded."""

    def __init__(self, predictor: Predictor, image: NDArray[np.uint8]) -> None:
        self.size_hw = (image.shape[0], image.shape[1])
        self._predictor, self._image = predictor, image
        self._embeddings: dict[Window | None, Embedding] = {}

    def embedding(self, window: Window | None) -> Embedding:
        """Embed a window, or the whole image, the first time."""
        if window not in self._embeddings:
            picture = self._image if window is None else window.cut(self._image)
            self._embeddings[window] = self._predictor.embed(picture)
        return self._embeddings[window]

    def logits(self, window: Window | None) -> None:
        """Remember none: each prompt is decoded from its beginning."""

    def view(self, prompt: ObjectPrompt) -> None:
        """Remember none."""

    def keep_view(self, prompt: ObjectPrompt, view: View) -> None:
        """Remember none."""


def predict_zoomed(
    predictor: Predictor,
    image: ZoomedImage,
    prompt: ObjectPrompt,
    *,
    known_size_px: float | None = None,
) -> Masks:
    """Decode a prompt to the one mask that answers it best, K = 1, in a window where that pays.

    Args:
        predictor: decodes.
        image: gives embeddings.
        prompt: of one object, in pixels of the image.
        known_size_px: the long side that other objects of its kind have, for a first click.

    Returns:
        `predict_refined`'s masks of the whole image, bit for bit, where no window pays.

    Raises:
        PromptError: no prompt at all, or one with wrong numbers.
    """
    masks, _ = _answer(predictor, image, prompt, known_size_px)
    return masks


def choose_window(
    predictor: Predictor,
    image: ZoomedImage,
    prompt: ObjectPrompt,
    *,
    known_size_px: float | None = None,
) -> Window | None:
    """Return the window to answer a prompt in, None for the whole image; as `predict_zoomed`.

    Decodes the clicks before the last one where their view is not remembered.
    """
    inside = [xy for xy, label in zip(prompt.points_xy, prompt.point_labels, strict=True) if label]
    pays = functools.partial(extent_window, size_hw=image.size_hw, input_size=predictor.input_size)
    beginnings = prompt.beginnings()
    if prompt.box_xyxy is not None:
        window = pays(prompt.box_xyxy)
        is_inside = window is None or all(map(window.holds, inside))
        return window if is_inside else pays(_around([*_corners(prompt.box_xyxy), *inside]))
    if not beginnings:
        if not inside or known_size_px is None:
            return None
        about = _about(inside[0], known_size_px)
        return pays(about, factor=SIDE_PER_KNOWN_SIZE)
    before = beginnings[-1]
    view = image.view(before)
    if view is None:
        _, view = _answer(predictor, image, before, known_size_px)
    seen = inside if view.extent is None else [*_corners(view.extent), *inside]
    following = pays(_around(seen))
    follows = len(prompt.points_xy) <= FOLLOWING_CLICKS
    if view.window is None:
        return following if follows else None
    if not all(map(view.window.holds, inside)):
        return following
    return following if follows and _turns(view.window, following) else view.window


def extent_window(
    extent: Extent, size_hw: tuple[int, int], input_size: int, *, factor: float = SIDE_PER_EXTENT
) -> Window | None:
    """Return the window about what is known of an object, None where it does not pay.

    Args:
        extent: left, top, right, bottom in pixels of the image.
        size_hw: of the image.
        input_size: of the model, in pixels.
        factor: side of the window in long sides of the extent.

    Returns:
        None, too, for numbers that are not finite: the predictor refuses them.
    """
    if not all(map(math.isfinite, extent)):
        return None
    left, top, right, bottom = extent
    side = max(factor * max(right - left, bottom - top), LEAST_SIDE * input_size)
    if max(size_hw) < LEAST_GAIN * side:
        return None
    whole = round(side)
    return Window(
        round((left + right) / 2 - whole / 2), round((top + bottom) / 2 - whole / 2), whole
    )


def mask_extent(
    masks: Masks, window: Window | None, prompt: ObjectPrompt, size_hw: tuple[int, int]
) -> Extent | None:
    """Return how far a mask's parts under positive points reach, to a cell of its logits.

    Args:
        masks: K = 1, of `window`.
        window: None for the whole image.
        prompt: in pixels of the image.
        size_hw: of the image.
    """
    labels, stats = _components(masks.logits[0] > 0)
    shown_hw = size_hw if window is None else (window.side, window.side)
    left, top = (0, 0) if window is None else (window.left, window.top)
    resized = resized_hw(shown_hw, masks.input_size)
    per_cell = masks.input_size / LOGITS_SIZE * shown_hw[1] / resized[1]
    parts = set()
    for (x, y), label in zip(prompt.points_xy, prompt.point_labels, strict=True):
        cell_x, cell_y = int((x - left) // per_cell), int((y - top) // per_cell)
        if label and 0 <= cell_x < LOGITS_SIZE and 0 <= cell_y < LOGITS_SIZE:
            parts.add(int(labels[cell_y, cell_x]))
    boxes = [stats[part, :4] for part in parts - {0}]
    if not boxes:
        return None
    x0, y0 = np.min([box[:2] for box in boxes], axis=0)
    x1, y1 = np.max([box[:2] + box[2:] for box in boxes], axis=0)
    return (
        float(left + x0 * per_cell),
        float(top + y0 * per_cell),
        float(left + x1 * per_cell),
        float(top + y1 * per_cell),
    )


def _answer(
    predictor: Predictor, image: ZoomedImage, prompt: ObjectPrompt, known_size_px: float | None
) -> tuple[Masks, View]:
    window = choose_window(predictor, image, prompt, known_size_px=known_size_px)
    embedding, memory = image.embedding(window), image.logits(window)
    if window is None:
        masks = predict_refined(predictor, embedding, prompt, memory)
    else:
        inner = predict_refined(predictor, embedding, window.of_prompt(prompt), memory)
        masks = window.masks_of_image(inner, image.size_hw)
    view = View(window, mask_extent(masks, window, prompt, image.size_hw))
    image.keep_view(prompt, view)
    return masks, view


def _components(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the number of each cell's part (h, w), and (N, 5) left, top, width, height, area."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return labels.astype(np.int32), stats.astype(np.int32)


def _turns(before: Window, after: Window | None) -> bool:
    """Say whether two windows' sizes differ so much that the later one pays for its encode."""
    return after is not None and max(before.side, after.side) > LEAST_TURN * min(
        before.side, after.side
    )


def _about(xy: tuple[float, float], size: float) -> Extent:
    x, y = xy
    return x - size / 2, y - size / 2, x + size / 2, y + size / 2


def _corners(extent: Extent) -> list[tuple[float, float]]:
    left, top, right, bottom = extent
    return [(left, top), (right, bottom)]


def _around(points_xy: Sequence[tuple[float, float]]) -> Extent:
    """Return the tight extent of points."""
    x, y = zip(*points_xy, strict=True)
    return min(x), min(y), max(x), max(y)
