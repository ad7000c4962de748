"""From a task to its image's embedding: find the address, fetch, decode, encode; each only once."""

import hashlib
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from backend.cache import EmbeddingKey
from backend.decoding import decode_image
from backend.embedder import Embedder
from backend.errors import BackendError, ImageError, PromptError
from backend.images import ImageLoader
from backend.labeling_config import ImageTag
from mobilesam import Embedding, Predictor

log = logging.getLogger(__name__)

ADDRESSES_KEPT = 10_000  # about 300 bytes each
TRUSTED_FOR_S = 300  # then an address is fetched again, to see whether its image is another one
BACKGROUND_FETCHES = 2  # at once
BACKGROUND_TASKS = 64  # waiting; the rest of a larger batch is not prepared

Place = tuple[str, int, str]  # project, task, address: a cloud address means its task's storage


class TaskImages:
    """Gives the embeddings of tasks' images. Safe under threads.

    Args:
        predictor: encodes.
        loader: fetches.
        embedder: keeps, and computes what is not kept.
        max_pixels: largest image that is decoded.
    """

    def __init__(
        self, predictor: Predictor, loader: ImageLoader, embedder: Embedder, *, max_pixels: int
    ) -> None:
        self._predictor = predictor
        self._loader = loader
        self._embedder = embedder
        self._max_pixels = max_pixels
        self._addresses = _AddressBook()
        self._background = ThreadPoolExecutor(BACKGROUND_FETCHES, "prepare")
        self._background_room = threading.BoundedSemaphore(BACKGROUND_TASKS)

    def embedding(
        self, task: dict[str, Any], tag: ImageTag, item_index: int | None, project: str
    ) -> Embedding:
        """Return the embedding of one image of a task, and wait for it where it is not there yet.

        Args:
            task: with `id` and `data`.
            tag: the Image tag whose image it is.
            item_index: the page of a list of images.
            project: "<id>.<unix time of creation>", as in the request.

        Raises:
            ImageError: the image is missing, cannot be fetched, or cannot be decoded.
        """
        place = (project, task["id"], _address(task, tag, item_index))
        key = self._addresses.key(place)
        embedding = None if key is None else self._embedder.find_known(key)
        if embedding is None:
            embedding = self._embedder.find(*self._fetch(place))
        return embedding

    def prepare(self, task: dict[str, Any], tag: ImageTag, project: str) -> None:
        """Start embedding a task's (first) image in the background; errors are only logged."""
        if self._background_room.acquire(blocking=False):
            self._background.submit(self._prepare, task, tag, project)

    def _prepare(self, task: dict[str, Any], tag: ImageTag, project: str) -> None:
        try:
            place = (project, task["id"], _address(task, tag, None))
            key = self._addresses.key(place)
            if key is None or not self._embedder.has(key):
                self._embedder.prepare(*self._fetch(place))
        except BackendError as error:
            log.warning("task %s cannot be prepared: %s", task["id"], error)
        finally:
            self._background_room.release()

    def _fetch(self, place: Place) -> tuple[EmbeddingKey, Callable[[], Embedding]]:
        """Fetch an image; return its embedding's key, and what computes it."""
        project, task_id, address = place
        data = self._loader.fetch(address, task_id=task_id, project=project)
        key = EmbeddingKey(self._predictor.model_id, hashlib.sha256(data).hexdigest())
        self._addresses.note(place, key)

        def compute() -> Embedding:
            image = decode_image(data, name=f"image of task {task_id}", max_pixels=self._max_pixels)
            return self._predictor.embed(image)

        return key, compute


class _AddressBook:
    """Which image content was last seen at an address."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: OrderedDict[Place, tuple[EmbeddingKey, float]] = OrderedDict()

    def key(self, place: Place) -> EmbeddingKey | None:
        with self._lock:
            key, until = self._seen.get(place, (None, 0.0))
            return key if time.monotonic() < until else None

    def note(self, place: Place, key: EmbeddingKey) -> None:
        with self._lock:
            self._seen.pop(place, None)
            self._seen[place] = (key, time.monotonic() + TRUSTED_FOR_S)
            while len(self._seen) > ADDRESSES_KEPT:
                self._seen.popitem(last=False)


def _address(task: dict[str, Any], tag: ImageTag, item_index: int | None) -> str:
    """Return where a task says that its image is."""
    data = task.get("data")
    value = data.get(tag.data_key) if isinstance(data, dict) else None
    if isinstance(value, list):
        page = item_index or 0
        if page >= len(value):
            raise PromptError(
                f"task {task['id']} has {len(value)} images in {tag.data_key!r}, "
                f"the prompt is on page {page + 1}",
                remedy="reload the task in Label Studio",
            )
        value = value[page]
    if not isinstance(value, str) or not value:
        raise ImageError(
            f"task {task['id']} has no image in {tag.data_key!r}, "
            f"where the Image tag {tag.name!r} takes it from",
            remedy=f"import the task with {tag.data_key!r}, or correct the Image tag's value",
            reason=f"Task has no image in its field {tag.data_key}",
        )
    return value
