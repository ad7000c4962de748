"""A predictor without a network: a disc around the first point, or the box filled."""

import io
import threading
from dataclasses import dataclass

import numpy as np
from PIL import Image

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


class FakePredictor:
    """Counts encodes, and keeps the prompts that it was given."""

    model_id = "fake-1"
    weights = "fake"
    device = "cpu"
    runtime = "fake"
    precision = "float32"
    batch_size = 1

    def __init__(self):
        self.embedded = []
        self.prompts = []
        self.has_embedded = threading.Event()
        self._lock = threading.Lock()

    def embed(self, image):
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

    def predict_object(self, embedding, *, points_xy=(), point_labels=(), box_xyxy=None):
        with self._lock:
            self.prompts.append((list(points_xy), list(point_labels), box_xyxy))
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
