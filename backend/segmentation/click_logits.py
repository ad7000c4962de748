"""Logits of the masks that were clicked lately: the next click on the same object refines them.

They are named by what they follow from: weights, image and prompt. So a wrong one cannot be found,
whoever clicks; an undone click leads back to the mask before it, and a moved one to no mask at all.
What is not found is decoded again.
"""

import hashlib
from dataclasses import astuple

import numpy as np
import orjson

from backend.core.ttl_map import TtlMap
from backend.embeddings.shared_notes import SharedNotes, opened, sealed
from backend.embeddings.tiers.base import EmbeddingKey
from mobilesam import Logits, ObjectPrompt

LOGITS_KEPT = 256  # 131 kB each: 34 MB
KEPT_FOR_S = 600  # then an annotator has gone on to something else
# Most next clicks come sooner, and a Redis holds those of all annotators: 1,000 who click every
# 5 s fill 3 GB in this time.
SHARED_FOR_S = 120

_SHAPE = (1, 256, 256)
_TYPE = np.dtype("<f2")


class ClickLogits:
    """Keeps logits; through `shared`, if there is one, for all services. Safe under threads.

    Args:
        shared: told at each click, and asked for what another service may have answered.
    """

    def __init__(self, shared: SharedNotes | None) -> None:
        self._own: TtlMap[str, Logits] = TtlMap(LOGITS_KEPT)
        self._shared = shared

    def of_image(self, key: EmbeddingKey) -> "ImageLogits":
        """Return the part for one image and one model's weights."""
        return ImageLogits(key, self._own, self._shared)


class ImageLogits:
    """The logits of one image's masks; a `mobilesam.LogitsMemory`.

    Boxes without points are left out: many come at once, and few of them are refined.
    """

    def __init__(
        self, key: EmbeddingKey, own: TtlMap[str, Logits], shared: SharedNotes | None
    ) -> None:
        self._key = key
        self._own = own
        self._shared = shared

    def get(self, prompt: ObjectPrompt) -> Logits | None:
        """Return the (1, 256, 256) of a prompt, or None."""
        if not prompt.points_xy:
            return None
        name = self._name(prompt)
        logits = self._own.get(name)
        if logits is None and self._shared is not None:
            note = self._shared.get(name, expire_s=SHARED_FOR_S)
            logits = None if note is None else _read(name, note)
            if logits is not None:
                self._own.put(name, logits, lifetime_s=KEPT_FOR_S)
        return logits

    def put(self, prompt: ObjectPrompt, logits: Logits) -> None:
        """Remember the (1, 256, 256) of a prompt."""
        if not prompt.points_xy:
            return
        name = self._name(prompt)
        self._own.put(name, logits, lifetime_s=KEPT_FOR_S)
        if self._shared is not None:
            self._shared.put(
                name, sealed(name, logits.astype(_TYPE).tobytes()), expire_s=SHARED_FOR_S
            )

    def _name(self, prompt: ObjectPrompt) -> str:
        parts = orjson.dumps([*self._key, *astuple(prompt)])
        return hashlib.sha256(b"click logits\0" + parts).hexdigest()


def _read(name: str, value: bytes) -> Logits | None:
    note = opened(name, value)
    return None if note is None else np.frombuffer(note, _TYPE).reshape(_SHAPE)
