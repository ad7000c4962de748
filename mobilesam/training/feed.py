"""What a training step sees: windows of the images, or their kept embeddings."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from mobilesam.coco_instances import CocoImage
from mobilesam.errors import TrainingError
from mobilesam.model.mobile_sam import MobileSAM
from mobilesam.training.windows import Window, draw_window

ATTEMPTS = 20  # at a window that shows an object, before the data is called unusable


@dataclass(frozen=True)
class Batch:
    """Windows of a step.

    `images` is (B, 3, S, S) pixels, or (B, C, G, G) embeddings where the encoder does not learn;
    `masks` (B * P, S, S) bool, P objects of each window in turn.
    """

    images: Tensor
    masks: NDArray[np.bool_]


def is_held_out(image: CocoImage, share: float) -> bool:
    """Whether an image is for validation only: by its file's name, so that it never changes."""
    digest = hashlib.sha256(image.path.name.encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def split(images: Sequence[CocoImage], share: float) -> tuple[list[CocoImage], list[CocoImage]]:
    """Divide images with objects into those to learn from and those held out.

    Raises:
        TrainingError: one of the two has none.
    """
    usable = [image for image in images if image.segmentations]
    held_out = [image for image in usable if is_held_out(image, share)]
    learnt = [image for image in usable if not is_held_out(image, share)]
    if not learnt or not held_out:
        raise TrainingError(
            f"{len(usable)} images with objects leave {len(learnt)} to learn from and "
            f"{len(held_out)} held out; label more images, or change --val ({share:g})"
        )
    return learnt, held_out


class WindowFeed:
    """Random windows of images; the same windows for the same numbers.

    Args:
        images: with at least one object each.
        input_size: of the model, in pixels.
        objects: P, asked for in each window.
        seed: of all windows.
    """

    def __init__(
        self, images: Sequence[CocoImage], *, input_size: int, objects: int, seed: int
    ) -> None:
        self.images, self.input_size = images, input_size
        self.objects, self.seed = objects, seed
        # A large source must not drown the small ones, nor a single image stand for a source.
        sources = [image.source for image in images]
        counts = {source: sources.count(source) for source in set(sources)}
        weights = np.array([counts[source] ** -0.5 for source in sources])
        self._shares = weights / weights.sum()

    def window(self, number: int) -> Window:
        """Return window `number` of this feed.

        Raises:
            ImageError: an image cannot be read.
            TrainingError: no object can be seen in any of many tries.
        """
        rng = np.random.default_rng([self.seed, number])
        for _ in range(ATTEMPTS):
            image = self.images[int(rng.choice(len(self.images), p=self._shares))]
            window = draw_window(rng, image, input_size=self.input_size, objects=self.objects)
            if window is not None:
                return window
        raise TrainingError("the images have no object that is large enough to be seen")

    def batch(self, _rng: Generator, step: int, count: int) -> Batch:
        """Return `count` windows of a step that no other step has."""
        windows = [self.window(step * count + index) for index in range(count)]
        return Batch(to_pixels(windows), np.concatenate([window.masks for window in windows]))


class KeptFeed:
    """Embeddings of a fixed number of windows, computed once and kept on disk in half precision.

    For a decoder that learns alone: an encode costs a second, a decode a few milliseconds.

    Args:
        feed: the windows.
        model: its encoder does not change any more.
        folder: of the files; it may hold some of them already.
        count: of windows; bounds the disk space (2 MB each at the official sizes).
    """

    def __init__(self, feed: WindowFeed, model: MobileSAM, folder: Path, count: int) -> None:
        self.feed, self.model, self.folder, self.count = feed, model, folder, count
        folder.mkdir(parents=True, exist_ok=True)

    def batch(self, rng: Generator, step: int, count: int) -> Batch:
        """Return random ones; the choice grows by two windows a step until all are there."""
        ready = min(self.count, max(count, 2 * (step + 1)))
        kept = [self._kept(int(number)) for number in rng.integers(0, ready, count)]
        return Batch(
            torch.cat([one.images for one in kept]), np.concatenate([m.masks for m in kept])
        )

    def _kept(self, number: int) -> Batch:
        path = self.folder / f"{number:05}.npz"
        if not path.exists():
            window = self.feed.window(number)
            with torch.inference_mode():
                features = self.model.image_encoder(to_pixels([window])).half().numpy()
            part = path.with_suffix(".part")
            with part.open("wb") as file:
                np.savez(file, features=features, masks=np.packbits(window.masks, axis=-1))
            part.replace(path)
        with np.load(path) as content:
            size = self.feed.input_size
            masks = np.unpackbits(content["masks"], axis=-1, count=size).astype(bool)
            return Batch(torch.from_numpy(content["features"]).float(), masks)


def to_pixels(windows: Sequence[Window]) -> Tensor:
    """Return the windows' pixels as torch wants them, (B, 3, S, S) float32."""
    pixels = np.stack([window.pixels.transpose(2, 0, 1) for window in windows])
    return torch.from_numpy(np.ascontiguousarray(pixels))
