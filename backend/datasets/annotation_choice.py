"""Which of a task's annotations count."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from backend.datasets.labelled_tasks import LabelledTask


class Which(enum.StrEnum):
    """Of several annotations of one task."""

    LATEST = "latest"
    FIRST = "first"
    ALL = "all"
    GROUND_TRUTH = "ground-truth"


class Standing(enum.Enum):
    """What a task is to a data set."""

    COUNTS = enum.auto()
    NOT_ANNOTATED = enum.auto()  # nobody has said anything of it yet
    LEFT_OUT = enum.auto()  # skipped, or none of its annotations is one that was asked for


@dataclass(frozen=True)
class AnnotationChoice:
    """The rule by which annotations count; skipped and cancelled ones never do.

    Args:
        which: of several that a task has.
        drafts: whether a draft counts: in place of the annotation that it changes, or as one more.
        predictions: whether the latest prediction counts where no annotation does.
    """

    which: Which = Which.LATEST
    drafts: bool = False
    predictions: bool = False

    def choose(self, task: LabelledTask) -> tuple[Standing, list[dict[str, Any]]]:
        """Say what a task is to the data set, and which of its annotations (or others) count."""
        # A list, since ids may be missing, as in files that were not imported yet.
        candidates = [
            annotation
            for annotation in task.annotations
            if not annotation.get("was_cancelled") and not annotation.get("skipped")
        ]
        if self.drafts:
            for draft in task.drafts:
                changed = draft.get("annotation")
                if changed is None:
                    candidates.append(draft)
                    continue
                candidates = [
                    {**one, **_content(draft)} if one.get("id") == changed else one
                    for one in candidates
                ]
        chosen = self._of(candidates)
        if not chosen and self.predictions:
            predictions = [item for item in task.predictions if isinstance(item, dict)]
            chosen = sorted(predictions, key=_when_made)[-1:]
        if chosen:
            return Standing.COUNTS, chosen
        return (Standing.LEFT_OUT if task.annotations else Standing.NOT_ANNOTATED), []

    def _of(self, candidates: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        match self.which:
            case Which.LATEST:
                return sorted(candidates, key=_when_changed)[-1:]
            case Which.FIRST:
                return sorted(candidates, key=_when_made)[:1]
            case Which.GROUND_TRUTH:
                return [found for found in candidates if found.get("ground_truth")]
            case Which.ALL:
                return sorted(candidates, key=_when_made)


def _content(draft: dict[str, Any]) -> dict[str, Any]:
    return {"result": draft.get("result"), "updated_at": draft.get("updated_at")}


# Label Studio's times are ISO 8601 in UTC: they sort as text.


def _when_made(annotation: dict[str, Any]) -> tuple[str, int]:
    return str(annotation.get("created_at") or ""), _number(annotation)


def _when_changed(annotation: dict[str, Any]) -> tuple[str, int]:
    changed = annotation.get("updated_at") or annotation.get("created_at")
    return str(changed or ""), _number(annotation)


def _number(annotation: dict[str, Any]) -> int:
    number = annotation.get("id")
    return number if isinstance(number, int) else 0
