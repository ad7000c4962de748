"""Zoom for the service's images: windows through its cache, views kept from click to click."""

from collections.abc import Callable
from dataclasses import dataclass

from backend.core.ttl_map import TtlMap
from backend.embeddings.task_images import TaskImages
from backend.embeddings.tiers.base import EmbeddingKey
from backend.segmentation.click_logits import KEPT_FOR_S, ClickLogits, ImageLogits
from mobilesam import Embedding, ObjectPrompt
from mobilesam.zoom import View, Window

VIEWS_KEPT = 1000  # of a hundred points at most, 110 bytes each: 11 MB
MOST_POINTS = 100  # of a prompt whose view is kept

SLOWEST_ENCODE_S = 0.4  # with which zoom is worth its wait

ViewKey = tuple[EmbeddingKey, ObjectPrompt]


@dataclass(frozen=True)
class ZoomChoice:
    """Whether small objects are segmented in windows here, and why."""

    is_on: bool
    reason: str

    @classmethod
    def of(cls, setting: str, encode_s: float | None, *, is_on_gpu: bool) -> "ZoomChoice":
        """Decide by MOBILESAM_ZOOM, and for `auto` by the time that a window's encode takes.

        Args:
            setting: auto, on or off.
            encode_s: seconds of an encode on this machine; None if nobody has measured it.
            is_on_gpu: where every encode is fast.
        """
        if setting != "auto":
            return cls(setting == "on", f"MOBILESAM_ZOOM={setting}")
        if is_on_gpu:
            return cls(is_on=True, reason="a GPU encodes a window at once")
        if encode_s is None:
            return cls(is_on=False, reason="the time of an encode is not known")
        took = f"an encode takes {1000 * encode_s:.0f} ms"
        if encode_s < SLOWEST_ENCODE_S:
            return cls(is_on=True, reason=took)
        limit = f"{1000 * SLOWEST_ENCODE_S:.0f} ms"
        return cls(
            is_on=False, reason=f"{took}, {limit} or more; MOBILESAM_ZOOM=on zooms all the same"
        )


class ServiceImage:
    """A `mobilesam.ZoomedImage` whose embeddings and logits are those of the service's tiers.

    A view that was forgotten is found again from the earlier clicks, so a replica answers the same.

    Args:
        key: of the image.
        whole: its embedding.
        images: embeds windows.
        click_logits: of earlier clicks, in windows too.
        views: of earlier clicks.
        fetch: returns the image's file again.
    """

    def __init__(
        self,
        key: EmbeddingKey,
        whole: Embedding,
        images: TaskImages,
        click_logits: ClickLogits,
        views: TtlMap[ViewKey, View],
        fetch: Callable[[], bytes],
    ) -> None:
        self._key, self._whole, self._images = key, whole, images
        self._click_logits, self._views, self._fetch = click_logits, views, fetch
        self._keys: dict[Window | None, EmbeddingKey] = {None: key}

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self._whole.size_hw

    def embedding(self, window: Window | None) -> Embedding:
        """Return the embedding of a window, or of the whole image.

        Raises:
            ImageError: the image cannot be fetched or decoded again.
            BusyError: too many clicks wait for images already.
        """
        if window is None:
            return self._whole
        self._keys[window], embedding = self._images.window_embedding(
            self._key, window, self._fetch
        )
        return embedding

    def logits(self, window: Window | None) -> ImageLogits:
        """Return the memory of the masks that were decoded there; after `embedding`."""
        return self._click_logits.of_image(self._keys[window])

    def view(self, prompt: ObjectPrompt) -> View | None:
        """Return what was kept for a prompt."""
        return self._views.get((self._key, prompt))

    def keep_view(self, prompt: ObjectPrompt, view: View) -> None:
        """Keep a prompt's view for its next click."""
        if len(prompt.points_xy) <= MOST_POINTS:
            self._views.put((self._key, prompt), view, lifetime_s=KEPT_FOR_S)
