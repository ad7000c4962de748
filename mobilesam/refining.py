"""Refining: one object click by click, each further click with the logits of the mask before it.

SAM's decoder was trained to take them beside all clicks (arXiv 2304.02643, section A), and its own
predictor's documentation feeds them back. So a mask grows or shrinks about the new click, where
all clicks at once may give another mask altogether.

A mask stays a pure function of image and prompt: the logits before a click are those of the
prompt without it, cached or decoded again.
"""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mobilesam.masks import Masks
from mobilesam.predictor import Embedding, Predictor

# Clicks that are decoded one by one; those after them come together. Bounds the work for a prompt
# none of whose beginnings is remembered.
MAX_STEPS = 20

Logits = NDArray[np.float16]


@dataclass(frozen=True)
class ObjectPrompt:
    """All clicks on one object in their order, and the box that was there before them.

    `points_xy` and `box_xyxy` (left, top, right, bottom) are in pixels of the image, `point_labels`
    1 on the object and 0 off it.
    """

    points_xy: tuple[tuple[float, float], ...] = ()
    point_labels: tuple[int, ...] = ()
    box_xyxy: tuple[float, float, float, float] | None = None

    def beginnings(self) -> list["ObjectPrompt"]:
        """Return what was there before each further click, the shortest first.

        The shortest says where the object is: by the box, or by its last point, a positive one.
        """
        if self.box_xyxy is not None:
            shortest = 0
        elif 1 in self.point_labels:
            shortest = self.point_labels.index(1) + 1
        else:
            return []
        longest = min(len(self.points_xy), shortest + MAX_STEPS)
        return [self._first(count) for count in range(shortest, longest)]

    def _first(self, count: int) -> "ObjectPrompt":
        return replace(
            self, points_xy=self.points_xy[:count], point_labels=self.point_labels[:count]
        )


class LogitsMemory(Protocol):
    """Cache of the logits of one image's masks, for the next click; may evict any entry."""

    def get(self, prompt: ObjectPrompt) -> Logits | None:
        """Return the (1, 256, 256) of a prompt, or None."""

    def put(self, prompt: ObjectPrompt, logits: Logits) -> None:
        """Remember the (1, 256, 256) of a prompt."""


def rounded_logits(masks: Masks) -> Logits:
    """Round logits to float16, as the cache stores them.

    Always, so that a cache hit and a miss give the same next mask.
    """
    limit = np.finfo(np.float16).max
    return masks.logits.clip(-limit, limit).astype(np.float16)


def predict_refined(
    predictor: Predictor,
    embedding: Embedding,
    prompt: ObjectPrompt,
    memory: LogitsMemory | None = None,
) -> Masks:
    """Decode a prompt to the one mask that answers it best, K = 1, from click to click.

    Args:
        predictor: decodes; once if `memory` has the mask before the last click.
        embedding: of this predictor's `embed`.
        prompt: one object.
        memory: cache for this image and these weights; without it, every earlier click is decoded.

    Raises:
        PromptError: no prompt at all, or one with wrong numbers.
    """
    ahead = [prompt]
    logits: Logits | None = None
    for beginning in reversed(prompt.beginnings()):
        logits = None if memory is None else memory.get(beginning)
        if logits is not None:
            break
        ahead.append(beginning)
    for step in reversed(ahead):
        masks = predictor.predict_object(
            embedding,
            points_xy=step.points_xy,
            point_labels=step.point_labels,
            box_xyxy=step.box_xyxy,
            mask_logits=None if logits is None else logits.astype(np.float32),
        )
        logits = rounded_logits(masks)
        if memory is not None:
            memory.put(step, logits)
    return masks
