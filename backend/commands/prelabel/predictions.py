"""Predictions into a project, many with one call; one for each task, whatever was there before."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from msgspec import Struct

from backend.commands.prelabel.task_masks import TaskResult
from backend.core.errors import LabelStudioRefusalError
from backend.core.text import on_one_line
from backend.core.units import MEGABYTE
from backend.datasets.labelled_tasks import LabelledTask
from backend.label_studio.client import LabelStudio
from backend.label_studio.project_tasks import EVERYTHING, tasks_after

# With each call Label Studio counts the whole project again: fifty in one take hardly longer than
# one. But what is not written yet is made again where the command was stopped.
TASKS_AT_ONCE = 50
BYTES_AT_ONCE = 8 * MEGABYTE
SECONDS_AT_MOST = 10.0


@dataclass(frozen=True)
class Unwritten:
    """A prediction that Label Studio did not take, with so many masks."""

    task_id: int
    masks: int
    why: str


class _Waiting(NamedTuple):
    content: dict[str, Any]
    masks: int


class PredictionWriter:
    """Writes the predictions of one model version.

    Args:
        server: where the project is.
        project_id: of the project.
        version: of the predictions.
    """

    def __init__(self, server: LabelStudio, project_id: int, version: str) -> None:
        self._server = server
        self._project_id = project_id
        self._path = f"/api/projects/{project_id}/import/predictions"
        self._version = version
        self._waiting: list[_Waiting] = []
        self._bytes = 0
        self._written_at = time.monotonic()

    def earlier(self, task: LabelledTask) -> list[int]:
        """Return the ids of the predictions of this version that a task has, the newest last."""
        return sorted(
            prediction["id"]
            for prediction in task.predictions
            if isinstance(prediction, dict)
            and prediction.get("model_version") == self._version
            and isinstance(prediction.get("id"), int)
        )

    def keep_newest(self, earlier: list[int]) -> None:
        """Delete all but the newest: a call that was interrupted may have been carried out.

        Raises:
            LabelStudioError: Label Studio refused or did not answer, as from all methods here.
        """
        self._delete(earlier[:-1])

    def write(self, task_id: int, result: TaskResult, earlier: list[int]) -> list[Unwritten]:
        """Write a task's prediction, now or with the next ones.

        Args:
            task_id: of the task.
            result: of the task; an empty one only takes away what was there.
            earlier: of the method of that name; replaced in place, so that at no time the task has
                two predictions, or none.

        Returns:
            What Label Studio did not take of all that was written now.
        """
        content = {
            "task": task_id,
            "result": result.results,
            "score": float(np.mean(result.scores)) if result.scores else None,
            "model_version": self._version,
        }
        if earlier and not result.results:
            self._delete(earlier)
        elif earlier:
            self.keep_newest(earlier)
            try:
                self._server.patch_json(f"/api/predictions/{earlier[-1]}/", content)
            except LabelStudioRefusalError as error:
                return [_unwritten(task_id, len(result.scores), error)]
        elif result.results:
            self._waiting.append(_Waiting(content, len(result.scores)))
            self._bytes += result.bytes
        is_due = time.monotonic() - self._written_at > SECONDS_AT_MOST
        if len(self._waiting) >= TASKS_AT_ONCE or self._bytes >= BYTES_AT_ONCE or is_due:
            return self.flush()
        return []

    def flush(self) -> list[Unwritten]:
        """Write what waits; returns what Label Studio did not take."""
        waiting, self._waiting, self._bytes = self._waiting, [], 0
        unwritten = list(self._import(waiting)) if waiting else []
        self._written_at = time.monotonic()
        return unwritten

    def _delete(self, prediction_ids: list[int]) -> None:
        for prediction_id in prediction_ids:
            self._server.delete(f"/api/predictions/{prediction_id}/")

    def _import(self, waiting: list[_Waiting]) -> Iterator[Unwritten]:
        contents = [one.content for one in waiting]
        try:
            created = self._server.post_json(self._path, contents, _Created).created
        except LabelStudioRefusalError as error:
            if len(waiting) == 1:
                yield _unwritten(contents[0]["task"], waiting[0].masks, error)
                return
            for one in waiting:  # a single wrong one, such as of a deleted task, stops them all
                yield from self._import([one])
            return
        if created == len(waiting):
            return
        for one in waiting:  # it says how many it took, and not which
            task_id = one.content["task"]
            if not created or not self._is_there(task_id):
                yield Unwritten(
                    task_id,
                    one.masks,
                    "Label Studio did not take its prediction, without an error; its log says "
                    "what it has against it",
                )

    def _is_there(self, task_id: int) -> bool:
        """Whether a task has a prediction of this version."""
        page = tasks_after(self._server, self._project_id, task_id - 1, count=1, fields=EVERYTHING)
        tasks = [LabelledTask.from_json(task) for task in page if task.get("id") == task_id]
        return any(self.earlier(task) for task in tasks)


def shown_version(server: LabelStudio, project_id: int) -> str:
    """Return whose predictions annotators see: a version or a backend's title; "" for none."""
    project = server.get_json(f"/api/projects/{project_id}/", _Shown)
    return (project.show_collab_predictions and project.model_version) or ""


def show_predictions(server: LabelStudio, project_id: int, version: str) -> None:
    """Have annotators see the predictions of a version that the project has, and no others."""
    content = {"model_version": version, "show_collab_predictions": True}
    server.patch_json(f"/api/projects/{project_id}/", content)


class _Created(Struct):
    created: int


class _Shown(Struct):
    show_collab_predictions: bool | None = None
    model_version: str | None = None


def _unwritten(task_id: int, masks: int, error: LabelStudioRefusalError) -> Unwritten:
    return Unwritten(task_id, masks, f"{on_one_line(error.message)}; was the task deleted?")
