"""The last object of each task and label, which negative clicks alone refine."""

import dataclasses
import hashlib
import logging
from typing import Any

import orjson

from backend.core.errors import PromptError
from backend.core.ttl_map import TtlMap
from backend.embeddings.shared_notes import SharedNotes, opened, sealed
from backend.labeling.prompts import Point, Prompt, Rectangle

OBJECTS_REMEMBERED = 2_000  # under 1 kB each as people click; 40 MB when all have most points
MOST_POINTS = 100  # of one that is remembered: 16 kB
LONGEST_LABELS = 100  # characters that are kept as they are; of longer ones their SHA-256
REMEMBERED_FOR_S = 600  # then an annotator has gone on to something else

# Project, task, Image tag, page and labels: where a further click may belong to the same object.
ObjectKey = tuple[str, int, str, int | None, tuple[str, ...]]

log = logging.getLogger(__name__)


class LastObjects:
    """Remembers prompts; through `shared`, if there is one, for all services. Safe under threads.

    Two clicks on one object may reach two services. What the shared place says comes first, since
    this service may not have seen the last object; its own memory is for when that place is gone.

    Args:
        shared: told at each click and asked at negative ones; 0.04 ms on one machine.
    """

    def __init__(self, shared: SharedNotes | None) -> None:
        self._own: TtlMap[ObjectKey, tuple[Prompt, bool]] = TtlMap(OBJECTS_REMEMBERED)
        self._shared = shared

    def completed(self, key: ObjectKey, prompt: Prompt) -> Prompt:
        """Return a prompt that says what the object is, and remember it if it does so by itself.

        Negative points alone are added to the last object, and are not remembered with it: Label
        Studio sends those that are still on the page again. It does not say who clicks: two
        annotators on one task share its last object.

        Raises:
            PromptError: only negative points, and no object that they could refine.
        """
        if not prompt.needs_last_object:
            self.put(key, prompt)
            return prompt
        last = self.get(key)
        if last is None:
            _, task_id, _, _, labels = key
            raise PromptError(
                f"task {task_id} has only negative points with the labels {list(labels)}, "
                "and no object of these labels to take them from",
                remedy="click on the object first, then off it",
                reason="Negative points need an object: click on it first",
            )
        return prompt.refining(last)

    def put(self, key: ObjectKey, prompt: Prompt) -> None:
        """Remember an object for a while, in place of an earlier one; no object of too many points.

        Label Studio sends the points of an object again until it is accepted.
        """
        if len(prompt.points) > MOST_POINTS:
            self._forget(key)
            return
        key = _shortened(key)
        prompt = dataclasses.replace(prompt, to_name=key[2], labels=key[-1])
        is_shared = False
        if self._shared is not None:
            name = _name(key)
            note = orjson.dumps(prompt)
            is_shared = self._shared.put(name, sealed(name, note), expire_s=REMEMBERED_FOR_S)
            if not is_shared:
                self._shared.remove(name)  # of an earlier object; a place that is full allows that
        self._own.put(key, (prompt, is_shared), lifetime_s=REMEMBERED_FOR_S)

    def get(self, key: ObjectKey) -> Prompt | None:
        """Return the last object, or None if that was too long ago or never."""
        key = _shortened(key)
        own, is_shared = self._own.get(key) or (None, True)
        if self._shared is None or not is_shared:  # what is there would be an earlier one
            return own
        name = _name(key)
        note = self._shared.get(name, expire_s=REMEMBERED_FOR_S)
        if note is None:  # where the others answer, they know of a later object, or of none
            return None if self._shared.is_up else own
        return _read(name, note) or own

    def _forget(self, key: ObjectKey) -> None:
        key = _shortened(key)
        self._own.remove(key)
        if self._shared is not None:
            self._shared.remove(_name(key))


def _shortened(key: ObjectKey) -> ObjectKey:
    """Replace long labels by their hash, and texts that came with a request by ones of its size."""
    project, task_id, to_name, item_index, labels = key
    if len(to_name) + sum(map(len, labels)) <= LONGEST_LABELS:
        return key
    digest = hashlib.sha256(orjson.dumps([to_name, labels])).hexdigest()
    return project, task_id, "", item_index, (digest,)


def _name(key: ObjectKey) -> str:
    return hashlib.sha256(b"last object\0" + orjson.dumps(key)).hexdigest()


def _read(name: str, value: bytes) -> Prompt | None:
    note = opened(name, value)
    if note is None:
        log.debug("a shared note of a last object is damaged")
        return None
    try:
        fields: dict[str, Any] = orjson.loads(note)
        rectangle = fields["rectangle"]
        return dataclasses.replace(
            Prompt(**fields),
            labels=tuple(fields["labels"]),
            points=tuple(Point(**point) for point in fields["points"]),
            rectangle=None if rectangle is None else Rectangle(**rectangle),
        )
    except (ValueError, TypeError, KeyError) as error:  # of another version
        log.debug("a shared note of a last object makes no sense: %r", error)
        return None
