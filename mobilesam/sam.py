"""SAM: the published usage, `SAM("mobile_sam.pt").predict("zidane.jpg", points=[900, 370])`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args, overload

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from mobilesam.errors import ImageError, PromptError
from mobilesam.masks import Masks
from mobilesam.predictor import Predictor, read_numbers, require_prompt
from mobilesam.proposals import POINTS_PER_SIDE, propose
from mobilesam.refining import ObjectPrompt
from mobilesam.zoom import ImagePixels, Zoom, choose_window

Source = str | Path | NDArray[np.uint8] | Image.Image
_Arrays = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64] | None]


@dataclass(frozen=True, eq=False)  # equal arrays are no single truth value
class Result(Sequence["Result"]):
    """The objects found in one image; a sequence of its objects, each a `Result` of one.

    `image` is (H, W, 3) uint8 RGB, `masks` (N, H, W) bool, `scores` (N,) float32 predicted IoU.
    """

    image: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    scores: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.masks)

    @overload
    def __getitem__(self, index: int) -> "Result": ...
    @overload
    def __getitem__(self, index: slice) -> "Result": ...
    def __getitem__(self, index: int | slice) -> "Result":
        if isinstance(index, int):
            index = range(len(self))[index]  # raises IndexError, takes negative ones
            index = slice(index, index + 1)
        return Result(self.image, self.masks[index], self.scores[index])

    @property
    def boxes_xyxy(self) -> NDArray[np.float32]:
        """(N, 4) left, top, right, bottom of each mask in pixels; zeros for an empty mask."""
        boxes = np.zeros((len(self), 4), np.float32)
        for box, mask in zip(boxes, self.masks, strict=True):
            if mask.any():
                x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
                box[:] = x, y, x + width, y + height
        return boxes

    def plot(self) -> NDArray[np.uint8]:
        """Return the image with the masks drawn on it, (H, W, 3) uint8 RGB."""
        picture = self.image.copy()
        for index, mask in enumerate(self.masks):
            color = _color(index)
            picture[mask] = (0.5 * picture[mask] + 0.5 * color).astype(np.uint8)
            outlines, _ = cv2.findContours(
                mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
            )
            thickness = max(1, round(max(mask.shape) / 500))
            cv2.drawContours(picture, outlines, -1, color.tolist(), thickness)
        return picture

    def save(self, path: str | Path) -> Path:
        """Write `plot()` to an image file and return its path.

        Raises:
            ImageError: no file can be written there, or its name has no image format's ending.
        """
        try:
            Image.fromarray(self.plot()).save(path)
        except (OSError, ValueError) as error:
            raise ImageError(f"cannot write {path}: {error}") from error
        return Path(path)


class SAM:
    """`Predictor` behind the published interface; see there for the arguments."""

    def __init__(
        self,
        checkpoint: str | Path = "mobile_sam.pt",
        device: str = "auto",
        *,
        runtime: str = "auto",
        precision: str = "auto",
    ) -> None:
        self.predictor = Predictor(checkpoint, device, runtime=runtime, precision=precision)

    @overload
    def predict(
        self,
        source: Source,
        *,
        points: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        bboxes: ArrayLike | None = None,
        zoom: Zoom = "auto",
    ) -> Result: ...
    @overload
    def predict(
        self,
        source: list[Source] | tuple[Source, ...],
        *,
        points: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        bboxes: ArrayLike | None = None,
        zoom: Zoom = "auto",
    ) -> list[Result]: ...
    def predict(
        self,
        source: Source | list[Source] | tuple[Source, ...],
        *,
        points: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        bboxes: ArrayLike | None = None,
        zoom: Zoom = "auto",
    ) -> Result | list[Result]:
        """Segment the objects that points and boxes name, in one image or in each of a list.

        Args:
            source: a path, (H, W, 3) or (H, W) uint8 array in RGB, PIL image, or a list of them.
            points: [x, y] one object; (N, 2) N objects, one click each; (N, M, 2) N objects, M
                clicks each. Pixels of the image.
            labels: 1 on the object, 0 off it, in the shape of `points` without the last axis; all
                1 if not given.
            bboxes: [x0, y0, x1, y1] or (N, 4), pixels; with `points`, N of both.
            zoom: "auto" and "on" encode a window about an object that is small in its image, where
                a box or several clicks tell its size; an encode for each. "off" never does.

        Raises:
            PromptError: no prompt, shapes that do not go together, or an unknown `zoom`.
            ImageError: an image file that is missing or damaged, or an array that is no image.
        """
        prompts = _read_objects(points, labels, bboxes)
        if zoom not in get_args(Zoom):
            raise PromptError(f"zoom must be one of {', '.join(get_args(Zoom))}, got {zoom!r}")
        if isinstance(source, list | tuple):
            return [self._predict_image(one, prompts, zoom) for one in source]
        return self._predict_image(source, prompts, zoom)

    def everything(self, source: Source, *, points_per_side: int = POINTS_PER_SIDE) -> Result:
        """Segment all objects of an image that a grid of clicks finds, the best score first.

        Args:
            source: one image, as for `predict`.
            points_per_side: of the grid.

        Raises:
            PromptError: the grid has no point or too many.
            ImageError: as `predict`.
        """
        image = load_image(source)
        found = propose(
            self.predictor, self.predictor.embed(image), points_per_side=points_per_side
        )
        masks = np.zeros((len(found), *image.shape[:2]), np.bool_)
        scores = np.zeros(len(found), np.float32)
        for k, one in enumerate(found):
            masks[k], scores[k] = one.best().masks[0], one.scores[0]  # copied, so that it is freed
        return Result(image, masks, scores)

    def _predict_image(self, source: Source, prompts: list[_Arrays], zoom: Zoom) -> Result:
        image = load_image(source)
        pixels = ImagePixels(self.predictor, image)
        predicted = [self._predict_object(pixels, *prompt, zoom) for prompt in prompts]
        return Result(
            image,
            np.concatenate([masks.masks for masks in predicted]),
            np.concatenate([masks.scores for masks in predicted]),
        )

    def _predict_object(
        self,
        pixels: ImagePixels,
        points: NDArray[np.float64],
        labels: NDArray[np.float64],
        box: NDArray[np.float64] | None,
        zoom: Zoom,
    ) -> Masks:
        """All clicks at once, as published; in a window where there is one."""
        window = None
        if zoom != "off":
            require_prompt(points, labels, box)
            prompt = ObjectPrompt(
                tuple((float(x), float(y)) for x, y in points),
                tuple(int(label) for label in labels),
                None if box is None else (box[0], box[1], box[2], box[3]),
            )
            window = choose_window(self.predictor, pixels, prompt)
        if window is None:
            return self.predictor.predict_object(
                pixels.embedding(None), points_xy=points, point_labels=labels, box_xyxy=box
            )
        inner = window.of_prompt(prompt)
        masks = self.predictor.predict_object(
            pixels.embedding(window),
            points_xy=inner.points_xy,
            point_labels=inner.point_labels,
            box_xyxy=inner.box_xyxy,
        )
        return window.masks_of_image(masks, pixels.size_hw)


def load_image(source: Source) -> NDArray[np.uint8]:
    """Return an image as (H, W, 3) uint8 RGB, upright as its EXIF orientation says.

    Raises:
        ImageError: the file is missing or no image, or the array is not uint8 RGB, RGBA or grey.
    """
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8:
            raise ImageError(f"an image array must be uint8 in 0..255, got {source.dtype}")
        shape = source.shape
        try:
            source = Image.fromarray(source)
        except TypeError as error:
            raise ImageError(f"an array of shape {shape} is no image") from error
    if isinstance(source, Image.Image):
        return np.array(ImageOps.exif_transpose(source).convert("RGB"))
    try:
        with Image.open(source) as image:
            return np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except FileNotFoundError as error:
        raise ImageError(f"no image at {source}") from error
    except (UnidentifiedImageError, OSError) as error:
        raise ImageError(f"{source} cannot be read as an image: {error}") from error


def _read_objects(
    points: ArrayLike | None, labels: ArrayLike | None, bboxes: ArrayLike | None
) -> list[_Arrays]:
    """Return one prompt per object, in the shapes that `Predictor.predict` takes."""
    clicks = np.zeros((0, 0, 2)) if points is None else read_numbers("points", points)
    if clicks.shape[-1:] != (2,) or clicks.ndim > 3:
        raise PromptError(f"points must be (2,), (N, 2) or (N, M, 2), got shape {clicks.shape}")
    signs = np.ones(clicks.shape[:-1]) if labels is None else read_numbers("labels", labels)
    if clicks.ndim == 1:
        clicks, signs = clicks[None], np.atleast_1d(signs)
    if signs.shape != clicks.shape[:-1]:
        raise PromptError(
            f"labels must have one number per point, got shapes {signs.shape} and {clicks.shape}"
        )
    boxes = np.zeros((0, 4)) if bboxes is None else read_numbers("bboxes", bboxes)
    if boxes.size % 4 or boxes.ndim > 2 or boxes.shape[-1] != 4:
        raise PromptError(f"bboxes must be (4,) or (N, 4), got shape {boxes.shape}")
    boxes = boxes.reshape(-1, 4)
    if clicks.ndim == 2:
        clicks, signs = clicks[:, None], signs[:, None]
    count = max(len(clicks), len(boxes))
    if not count:
        raise PromptError("nothing to segment; give points or bboxes")
    if len(clicks) and len(boxes) and len(clicks) != len(boxes):
        raise PromptError(f"points name {len(clicks)} objects and bboxes {len(boxes)}")
    return [
        (
            clicks[index] if len(clicks) else np.zeros((0, 2)),
            signs[index] if len(clicks) else np.zeros(0),
            boxes[index] if len(boxes) else None,
        )
        for index in range(count)
    ]


def _color(index: int) -> NDArray[np.float64]:
    """Return a colour (3,) in 0..255 that differs from those of the neighbouring numbers."""
    hue = int(index * 180 * 0.618) % 180  # the golden ratio spreads any number of hues
    pixel = np.array([[[hue, 200, 255]]], np.uint8)
    return cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0].astype(np.float64)
