"""Images that several threads bring at the same moment, through the encoder together.

A GPU takes hardly longer for sixteen images than for two. A CPU gains nothing: there a batch is one
image, and nobody waits for company.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backend.monitoring.request_record import step
from mobilesam import Embedding, Predictor

GATHER_S = 0.003  # that a batch waits for images that are being decoded; an encode takes as long

Image = NDArray[np.uint8]


class _Waiting(NamedTuple):
    image: Image
    result: Future[Embedding]


class EncodeBatches:
    """Embeds images in batches; any number of threads may ask, each with one image.

    There is no thread here: of those that wait, one at a time runs the batch that all wait for.

    Args:
        predictor: encodes.

    Attributes:
        threads: how many should ask at once, so that the next batch is decoded while one is
            encoded. Three where images go one by one: a file that takes long to decode then holds
            nobody else up.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._size = predictor.batch_size
        self.threads = 2 * self._size if self._size > 1 else 3
        self._encoding = threading.Lock()  # held by whoever runs a batch
        self._changed = threading.Condition()
        self._decoding = 0
        self._waiting: list[_Waiting] = []

    def embed(self, decode: Callable[[], Image]) -> Embedding:
        """Decode an image, and encode it with those of other threads.

        Args:
            decode: returns (H, W, 3) uint8 RGB; called in this thread.

        Raises:
            Exception: whatever `decode` raises, and the predictor for this image.
        """
        mine = None
        with self._changed:
            self._decoding += 1
        try:
            mine = _Waiting(decode(), Future())
        finally:
            with self._changed:
                self._decoding -= 1
                if mine is not None:
                    self._waiting.append(mine)
                self._changed.notify_all()
        with step("encode"):
            while not mine.result.done():
                with self._encoding:
                    if not mine.result.done():
                        self._encode(self._gather())
            return mine.result.result()

    def _gather(self) -> list[_Waiting]:
        """Take those that wait, after a moment for those that are about to."""
        until = time.monotonic() + GATHER_S
        with self._changed:
            while self._decoding and len(self._waiting) < self._size:
                if not self._changed.wait(until - time.monotonic()):
                    break
            batch = self._waiting[: self._size]
            del self._waiting[: self._size]
        return batch

    def _encode(self, batch: list[_Waiting]) -> None:
        try:
            embeddings = self._predictor.embed_batch([image for image, _ in batch])
        except BaseException as error:  # noqa: BLE001 - it is handed to those who wait
            if len(batch) == 1:
                batch[0].result.set_exception(error)
                return
            for one in batch:  # only the image at fault fails
                self._encode([one])
            return
        for (_, result), embedding in zip(batch, embeddings, strict=True):
            result.set_result(embedding)
