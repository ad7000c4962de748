"""Predictions into a project, many with one call; one for each task, whatever was there before."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from msgspec import Struct

from backend.commands.prelabel.task_masks import TaskResult
from backend.core.errors import LabelStudioRefusalError
from backend.core.text import on_one_line
from backend.core.units import MEGABYTE
from backend.datasets.labelled_tasks import LabelledTask
from backend.label_studio.client import LabelStudio

# With each call Label Studio counts the whole project again: fifty in one take hardly longer than
# one. But what is not written yet is made again where the command was stopped.
TASKS_AT_ONCE = 50
BYTES_AT_ONCE = 8 * MEGABYTE
SECONDS_AT_MOST = 10.0


@dataclass(frozen=True)
class Unwritten:
    """A prediction that Label Studio did not take; `tasks` names its task, or those around it."""

    tasks: str
    count: int
    why: str


class PredictionWriter:
    """Writes the predictions of one model version.

    Args:
        server: where the project is.
        project_id: of the project.
        version: of the predictions.
    """

    def __init__(self, server: LabelStudio, project_id: int, version: str) -> None:
        self._server = server
        self._path = f"/api/projects/{project_id}/import/predictions"
        self._version = version
        self._waiting: list[dict[str, Any]] = []
        self._bytes = 0
        self._written_at = time.monotonic()

    def earlier(self, task: LabelledTask) -> list[int]:
        """Return the ids of the predictions of this version that a task has, the newest last."""
        return sorted(
            prediction["id"]
            for prediction in task.predictions
            if isinstance(prediction, dict) and prediction.get("model_version") == self._version
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
                return [_unwritten(task_id, error)]
        elif result.results:
            self._waiting.append(content)
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

    def _import(self, predictions: list[dict[str, Any]]) -> Iterator[Unwritten]:
        try:
            created = self._server.post_json(self._path, predictions, _Created).created
        except LabelStudioRefusalError as error:
            if len(predictions) == 1:
                yield _unwritten(predictions[0]["task"], error)
                return
            for one in predictions:  # a single wrong one, such as of a deleted task, stops them all
                yield from self._import([one])
            return
        missing = len(predictions) - created
        if missing:
            tasks = f"{predictions[0]['task']}"
            if len(predictions) > 1:
                tasks += f" to {predictions[-1]['task']}"
            yield Unwritten(
                tasks,
                missing,
                f"Label Studio took {created} of {len(predictions)} predictions without an error; "
                "its log says what it has against the others",
            )


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


def _unwritten(task_id: int, error: LabelStudioRefusalError) -> Unwritten:
    return Unwritten(str(task_id), 1, f"{on_one_line(error.message)}; was the task deleted?")
