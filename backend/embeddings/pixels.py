"""The pixels of images in work: a window of an image is cut from them, on a warm click too."""

import hashlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backend.embeddings.tiers.base import EmbeddingKey, LruCache
from mobilesam.zoom import Window

FILES_SHARE = 0.25  # of the memory; files are a tenth of their pixels


class _File(NamedTuple):
    data: bytes

    @property
    def nbytes(self) -> int:
        return len(self.data)


class PixelCache:
    """LRU caches of decoded images and of their files. Safe under threads.

    Args:
        max_bytes: of both together.
    """

    def __init__(self, max_bytes: int) -> None:
        files_bytes = int(FILES_SHARE * max_bytes)
        self._files: LruCache[str, _File] = LruCache(files_bytes)
        self._images: LruCache[str, NDArray[np.uint8]] = LruCache(max_bytes - files_bytes)

    def put_file(self, image_sha256: str, data: bytes) -> None:
        """Keep an image's file."""
        self._files.put(image_sha256, _File(data))

    def put_image(self, image_sha256: str, image: NDArray[np.uint8]) -> None:
        """Keep an image (H, W, 3) that is decoded."""
        self._images.put(image_sha256, image)

    def find(
        self, image_sha256: str, decode: Callable[[bytes], NDArray[np.uint8]]
    ) -> NDArray[np.uint8] | None:
        """Return an image (H, W, 3), decoded again from its file if only that is kept, or None.

        Raises:
            ImageError: of `decode`.
        """
        image = self._images.get(image_sha256)
        if image is None:
            file = self._files.get(image_sha256)
            if file is not None:
                image = decode(file.data)
                self._images.put(image_sha256, image)
        return image


def window_key(key: EmbeddingKey, window: Window) -> EmbeddingKey:
    """Return the key of a window's embedding: the image's content and the window name it."""
    place = f"{key.image_sha256} {window.left} {window.top} {window.side}"
    return EmbeddingKey(key.model_id, hashlib.sha256(place.encode()).hexdigest())
