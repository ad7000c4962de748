"""From a task to its image's embedding: find the address, fetch, decode, encode; each only once.

Images that come without a task, in a request of the page, take the same way from the decoder on.
"""

import functools
import hashlib
import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from backend.core.errors import BackendError, BusyError, ImageError, PromptError
from backend.core.ttl_map import TtlMap
from backend.core.units import MEGABYTE
from backend.core.workers import Urgency, Workers
from backend.embeddings.embedder import Embedder
from backend.embeddings.encode_batches import EncodeBatches
from backend.embeddings.pixels import PixelCache, window_key
from backend.embeddings.tiers.base import EmbeddingKey
from backend.images.decoders import shared_decoders
from backend.images.fetch import ImageLoader
from backend.labeling.config import ImageTag, LabelingConfig
from backend.labeling.task_data import find_value
from backend.monitoring.activity import Activity
from backend.monitoring.request_record import observing_steps, step
from mobilesam import Embedding
from mobilesam.zoom import Window

ADDRESSES_KEPT = 10_000  # about 500 bytes each
LONGEST_ADDRESS = 300  # characters that are kept as they are; of a longer one its SHA-256
TRUSTED_FOR_S = 300  # then an address is fetched again, to see whether its image is another one
BACKGROUND_FETCHES = 2  # at once
MOST_PREPARED = 8  # images of one task; a Repeater may show a hundred
# Images that wait to be prepared, with all that are more urgent; what comes on top is not.
MAX_WAITING = {Urgency.OPENED_TASK: 256, Urgency.BATCH: 64, Urgency.PREFETCH: 16}

# Of files that are there and wait to be decoded and encoded, for tasks that nobody waits for.
MAX_WAITING_BYTES = 256 * MEGABYTE

Place = tuple[str, int, str]  # project, task, address: a cloud address means its task's storage


class Fetched(NamedTuple):
    """An image's key, what embeds it, and the bytes of the file that this holds."""

    key: EmbeddingKey
    compute: Callable[[], Embedding]
    nbytes: int


class TaskImages:
    """Gives the embeddings of tasks' images. Safe under threads.

    Args:
        model_id: whose embeddings they are.
        batches: encode.
        loader: fetches.
        embedder: keeps, and computes what is not kept.
        activity: is told how long fetching, decoding and encoding took, whoever it was for, and
            what could not be prepared.
        max_pixels: largest image that is decoded.
        max_waiting: clicks that may wait for an image at once, so that some threads are always left
            for those that need not.
        pixels: keeps images for `window_embedding`; None where no window is ever asked for.
    """

    def __init__(
        self,
        model_id: str,
        batches: EncodeBatches,
        loader: ImageLoader,
        embedder: Embedder,
        activity: Activity,
        *,
        max_pixels: int,
        max_waiting: int,
        pixels: PixelCache | None = None,
    ) -> None:
        self._model_id = model_id
        self._batches = batches
        self._loader = loader
        self._embedder = embedder
        self._activity = activity
        self._max_pixels = max_pixels
        self._max_waiting = max_waiting
        self._pixels = pixels
        self._waiting_room = threading.BoundedSemaphore(max_waiting)
        self._addresses: TtlMap[Place, EmbeddingKey] = TtlMap(ADDRESSES_KEPT)
        self._lock = threading.Lock()
        self._fetching: dict[Place, Future[Fetched]] = {}
        # What embeds a file that waits, as long as it does -> its bytes.
        self._held: WeakKeyDictionary[Callable[[], Embedding], int] = WeakKeyDictionary()
        self._background = Workers("prepare", BACKGROUND_FETCHES)

    def embedding(
        self, task: dict[str, Any], tag: ImageTag, item_index: int | None, project: str
    ) -> tuple[EmbeddingKey, Embedding]:
        """Return one image of a task: its key and its embedding, waiting where it is not there yet.

        Args:
            task: with `id` and `data`.
            tag: the Image tag whose image it is.
            item_index: the page of a list of images.
            project: "<id>.<unix time of creation>", as in the request.

        Raises:
            ImageError: the image is missing, cannot be fetched, or cannot be decoded.
            BusyError: too many clicks wait for images already.
        """
        place = (project, task["id"], image_address(task, tag, item_index))
        key = self._addresses.get(_shortened(place))
        embedding = None if key is None else self._embedder.find_kept(key)
        if key is not None and embedding is not None:
            return key, embedding
        with self._waiting():
            embedding = None if key is None else self._embedder.find_stored(key)
            if key is None or embedding is None:
                key, compute, _ = self._fetch_once(place)
                embedding = self._embedder.find(key, compute)
            return key, embedding

    def window_embedding(
        self, key: EmbeddingKey, window: Window, fetch: Callable[[], bytes]
    ) -> tuple[EmbeddingKey, Embedding]:
        """Return the embedding of a window of an image, and its key.

        Args:
            key: of the image, from `embedding` or `sent_embedding`.
            window: of the image.
            fetch: returns the image's file where neither it nor its pixels are kept any more.

        Raises:
            ImageError: the image cannot be fetched or decoded again, or is another one now.
            BusyError: too many clicks wait for images already.
        """
        named = window_key(key, window)
        embedding = self._embedder.find_kept(named)
        if embedding is not None:
            return named, embedding

        with self._waiting():
            embedding = self._embedder.find_stored(named)
            if embedding is None:
                with observing_steps(self._activity.metrics.observe_step):
                    image = self._image(key, fetch)
                compute = functools.partial(self._embed, lambda: window.cut(image))
                embedding = self._embedder.find(named, compute)
            return named, embedding

    def fetch_file(
        self, task: dict[str, Any], tag: ImageTag, item_index: int | None, project: str
    ) -> bytes:
        """Return the file of one image of a task; arguments and errors as `embedding`."""
        address = image_address(task, tag, item_index)
        with step("fetch"):
            return self._loader.fetch(address, task_id=task["id"], project=project)

    def _image(self, key: EmbeddingKey, fetch: Callable[[], bytes]) -> NDArray[np.uint8]:
        assert self._pixels is not None  # noqa: S101 - the caller zooms
        decode = functools.partial(self._decode, name="the image")
        image = self._pixels.find(key.image_sha256, decode)
        if image is None:
            data = fetch()
            if hashlib.sha256(data).hexdigest() != key.image_sha256:
                raise ImageError(
                    "the image at this address is another one than a moment ago",
                    remedy="reload the task in Label Studio, and click again",
                    reason="The image has changed; reload the task",
                )
            self._pixels.put_file(key.image_sha256, data)
            image = decode(data)
            self._pixels.put_image(key.image_sha256, image)
        return image

    def _decode(self, data: bytes, *, name: str) -> NDArray[np.uint8]:
        with step("decode"):
            return shared_decoders().decode(data, name=name, max_pixels=self._max_pixels)

    def sent_embedding(self, data: bytes) -> tuple[EmbeddingKey, Embedding]:
        """Embed an image that belongs to no task, unless it is kept.

        Args:
            data: the whole file.

        Returns:
            The image's key, for `kept_embedding`, and the embedding.

        Raises:
            ImageError: the image cannot be decoded.
            BusyError: too many clicks wait for images already.
        """
        key, compute, _ = self._embeddable(data, name="the image")
        with self._waiting():
            return key, self._embedder.find(key, compute)

    def kept_embedding(self, key: EmbeddingKey) -> Embedding | None:
        """Return the embedding of an image if any tier has it.

        Raises:
            BusyError: it is not in memory, and too many clicks wait for images already.
        """
        embedding = self._embedder.find_kept(key)
        if embedding is None:
            with self._waiting():
                embedding = self._embedder.find_stored(key)
        return embedding

    def prepare(
        self,
        task: dict[str, Any],
        config: LabelingConfig,
        project: str,
        urgency: Urgency,
        dropped: Callable[[], None] = lambda: None,
    ) -> None:
        """Start embedding a task's first images in the background; `activity` learns of errors.

        Args:
            task: with `id` and `data`.
            config: of the project; of each Image tag the first page.
            project: "<id>.<unix time of creation>", as in the request.
            urgency: what else goes first.
            dropped: called, from any thread, for an image for which others have left no room.
        """
        tags = config.of_task(task.get("data")).images.values()
        for tag in itertools.islice(tags, MOST_PREPARED):
            if self._background.waiting(urgency) >= MAX_WAITING[urgency]:
                dropped()
                return
            job = functools.partial(self._prepare, task, tag, project, urgency, dropped)
            self._background.submit(urgency, job)

    def close(self) -> None:
        """Prepare nothing any more."""
        self._background.close()

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        if not self._waiting_room.acquire(blocking=False):
            raise BusyError(
                f"{self._max_waiting} clicks wait for their images already",
                remedy="click again in a moment; if it lasts, look into the log for slow images",
            )
        try:
            with self._activity.metrics.waiting_click():
                yield
        finally:
            self._waiting_room.release()

    def _prepare(
        self,
        task: dict[str, Any],
        tag: ImageTag,
        project: str,
        urgency: Urgency,
        dropped: Callable[[], None],
    ) -> None:
        if urgency is Urgency.PREFETCH and self._embedder.is_busy():
            dropped()
            return

        def tell(error: Exception) -> None:
            is_guess = urgency is Urgency.PREFETCH
            self._activity.unprepared(error, task_id=task["id"], project=project, is_guess=is_guess)

        try:
            place = (project, task["id"], image_address(task, tag, None))
            key = self._addresses.get(_shortened(place))
            if key is None or not self._embedder.load(key):
                key, compute, nbytes = self._fetch_once(place)
                compute = functools.partial(self._compute_unasked, compute, tell)
                if not self._holds(compute, nbytes) or not self._embedder.prepare(
                    key, compute, urgency
                ):
                    dropped()
        except BackendError as error:
            tell(error)

    def _holds(self, compute: Callable[[], Embedding], nbytes: int) -> bool:
        """Count the bytes of a file until nothing needs it any more; False: too many already."""
        with self._lock:
            if sum(self._held.values()) + nbytes > MAX_WAITING_BYTES:
                return False
            self._held[compute] = nbytes
        return True

    @staticmethod
    def _compute_unasked(
        compute: Callable[[], Embedding], tell: Callable[[Exception], None]
    ) -> Embedding:
        try:
            return compute()
        except Exception as error:
            tell(error)
            raise

    def _fetch_once(self, place: Place) -> Fetched:
        """Fetch an image, or wait for the fetch that somebody else has begun."""
        mine: Future[Fetched] = Future()
        with self._lock:
            running = self._fetching.setdefault(place, mine)
        if running is not mine:
            with step("fetch"):
                return running.result()
        try:
            fetched = self._fetch(place)
        except BaseException as error:
            mine.set_exception(error)
            raise
        else:
            mine.set_result(fetched)
            return fetched
        finally:
            with self._lock:
                del self._fetching[place]

    def _fetch(self, place: Place) -> Fetched:
        project, task_id, address = place
        with observing_steps(self._activity.metrics.observe_step), step("fetch"):
            data = self._loader.fetch(address, task_id=task_id, project=project)
        fetched = self._embeddable(data, name=f"image of task {task_id}")
        # What an address held is remembered, so that the next click on it fetches nothing.
        self._addresses.put(_shortened(place), fetched[0], lifetime_s=TRUSTED_FOR_S)
        return fetched

    def _embeddable(self, data: bytes, *, name: str) -> Fetched:
        key = EmbeddingKey(self._model_id, hashlib.sha256(data).hexdigest())
        if self._pixels is not None:
            self._pixels.put_file(key.image_sha256, data)

        def decode() -> NDArray[np.uint8]:
            image = self._decode(data, name=name)
            if self._pixels is not None:
                self._pixels.put_image(key.image_sha256, image)
            return image

        return Fetched(key, functools.partial(self._embed, decode), len(data))

    def _embed(self, decode: Callable[[], NDArray[np.uint8]]) -> Embedding:
        # Twice as many fit into memory, and masks do not differ before and after a restart.
        with observing_steps(self._activity.metrics.observe_step):
            return self._batches.embed(decode).in_half_precision()


def _shortened(place: Place) -> Place:
    """Replace a long address, a `data:` URI above all, by its hash."""
    project, task_id, address = place
    if len(address) <= LONGEST_ADDRESS:
        return place
    return project, task_id, hashlib.sha256(address.encode(errors="replace")).hexdigest()


def image_address(task: dict[str, Any], tag: ImageTag, item_index: int | None) -> str:
    """Return where a task says that its image is.

    Raises:
        ImageError: it does not say that.
        PromptError: the page is not there.
    """
    value = find_value(task.get("data"), tag.data_key)
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
