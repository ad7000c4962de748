"""A predictor without a network: a disc around the first point, or the box filled."""

import io
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
from PIL import Image
from waiting import DEADLINE_S

from mobilesam import EmbeddingBytesError


@dataclass(frozen=True)
class FakeEmbedding:
    image: np.ndarray
    nbytes: int = 1000

    @property
    def size_hw(self):
        return self.image.shape[:2]

    def in_half_precision(self):
        return self


@dataclass(frozen=True)
class FakeMasks:
    masks: np.ndarray
    scores: np.ndarray
    are_on_gpu = False

    @property
    def logits(self):
        return np.full((1, 256, 256), self.masks.sum(), np.float32)


class FakePredictor:
    """Counts encodes; keeps the prompts, and one of the previous mask's logits, as it gets them.

    Each mask's logits are its number of pixels.
    """

    model_id = "fake-1"
    weights = "fake"
    device = "cpu"
    runtime = "fake"
    precision = "float32"
    runtime_reason = "it is a fake"
    batch_size = 1

    def __init__(self):
        self.embedded = []
        self.prompts = []
        self.previous = []
        self.has_embedded = threading.Event()
        self._begun = threading.Event()
        self._go_on = threading.Event()
        self._go_on.set()
        self._lock = threading.Lock()

    @property
    def answered(self):
        """The prompts without those that are only the beginning of the next one."""
        return [
            prompt
            for prompt, further in zip_longest(self.prompts, self.prompts[1:])
            if further is None or (further[0][:-1], further[2]) != (prompt[0], prompt[2])
        ]

    @contextmanager
    def held(self):
        """Hold every encode until the block ends; yields the event that one has begun."""
        self._begun.clear()
        self._go_on.clear()
        try:
            yield self._begun
        finally:
            self._go_on.set()

    def embed(self, image):
        self._begun.set()
        assert self._go_on.wait(DEADLINE_S)
        with self._lock:
            self.embedded.append(image)
        self.has_embedded.set()
        return FakeEmbedding(image)

    def embed_batch(self, images):
        return [self.embed(image) for image in images]

    def pack(self, embedding):
        buffer = io.BytesIO()
        np.save(buffer, embedding.image)
        return buffer.getvalue()

    def unpack(self, data):
        try:
            return FakeEmbedding(np.load(io.BytesIO(data)))
        except (ValueError, EOFError) as error:
            raise EmbeddingBytesError(str(error)) from error

    def predict_object(
        self, embedding, *, points_xy=(), point_labels=(), box_xyxy=None, mask_logits=None
    ):
        with self._lock:
            self.prompts.append((list(points_xy), list(point_labels), box_xyxy))
            self.previous.append(None if mask_logits is None else mask_logits[0, 0, 0])
        height, width = embedding.size_hw
        y, x = np.mgrid[0:height, 0:width]
        if box_xyxy is not None:
            x0, y0, x1, y1 = box_xyxy
            mask = (x >= x0) & (x < x1) & (y >= y0) & (y < y1)
        else:
            mask = np.hypot(x - points_xy[0][0], y - points_xy[0][1]) < 20
        for (px, py), label in zip(points_xy, point_labels, strict=True):
            if not label:
                mask &= np.hypot(x - px, y - py) >= 10
        return FakeMasks(mask[None], np.array([0.75], np.float32))


def png(height, width, color=(200, 100, 50)):
    """Bytes of a PNG of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), color).save(buffer, "PNG")
    return buffer.getvalue()
