"""Labelled tasks, one at a time: from a project through the API, or from an export file."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import ijson

from backend.core.errors import DatasetError
from backend.datasets.json_min import join_records
from backend.label_studio.client import LabelStudio
from backend.label_studio.project_tasks import EVERYTHING, iterate_tasks
from backend.label_studio.projects import describe_project

OnProgress = Callable[[int], object]


@dataclass(frozen=True)
class LabelledTask:
    """One task with what people and models said of it, as Label Studio's JSON has it.

    `annotations`, `drafts` and `predictions` are its objects with a `result` each. Export files
    hold only the numbers of predictions.
    """

    id: int
    data: dict[str, Any]
    meta: dict[str, Any] = field(default_factory=dict)
    annotations: list[dict[str, Any]] = field(default_factory=list)
    drafts: list[dict[str, Any]] = field(default_factory=list)
    predictions: list[Any] = field(default_factory=list)

    @property
    def coco(self) -> dict[str, Any]:
        """What `import_coco` has noted of the task's image; empty if it did not bring it."""
        noted = self.meta.get("coco")
        return noted if isinstance(noted, dict) else {}

    @classmethod
    def from_json(cls, task: Any, number: int = 0) -> "LabelledTask":
        """Read a task of the API or of a JSON export.

        Args:
            task: to be read.
            number: the id of a task that has none, since it was not imported yet.

        Raises:
            DatasetError: a field is missing or of another type.
        """
        task = {"id": number, **task} if isinstance(task, dict) else {}
        if not isinstance(task.get("id"), int) or not task.get("data"):
            raise _no_task(f"item {number} has no data or no number")
        for name, kind in (("data", dict), ("annotations", list), ("drafts", list)):
            if not isinstance(task.get(name) or kind(), kind):
                raise _no_task(f"{name!r} of task {task['id']} is no {kind.__name__}")
        for name in ("annotations", "drafts"):
            if not all(isinstance(item, dict) for item in task.get(name) or ()):
                raise _no_task(f"{name!r} of task {task['id']} holds something else than objects")
        meta = task.get("meta")  # anybody's, and in Label Studio it may be a list, too
        return cls(
            task["id"],
            task.get("data") or {},
            meta if isinstance(meta, dict) else {},
            task.get("annotations") or [],
            task.get("drafts") or [],
            task.get("predictions") or [],
        )


class ExportFile:
    """The tasks of a JSON or JSON_MIN export, read as a stream.

    Args:
        path: of the file.

    Raises:
        DatasetError: it cannot be read.
    """

    unit = "B"

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.size = path.stat().st_size
        except OSError as error:
            raise self._fault(error.strerror or str(error)) from error

    def tasks(self, on_progress: OnProgress) -> Iterator[LabelledTask]:
        """Read the tasks.

        Args:
            on_progress: called with the number of bytes read since the last call.

        Raises:
            DatasetError: the file is damaged, or no list of tasks.
        """
        try:
            with self.path.open("rb") as file:
                items = _counted(file, ijson.items(file, "item", use_float=True), on_progress)
                first = next(items, None)
                if first is None:
                    self._require_list(file)
                    return
                items = itertools.chain([first], items)
                # JSON_MIN has the task's data and the controls side by side.
                if isinstance(first, dict) and not isinstance(first.get("data"), dict):
                    items = join_records(items)
                yield from map(LabelledTask.from_json, items, itertools.count(1))
        except ijson.JSONError as error:
            raise self._fault(f"it is damaged: {error}") from error
        except OSError as error:
            raise self._fault(error.strerror or str(error)) from error

    def _require_list(self, file: BinaryIO) -> None:
        file.seek(0)
        if not file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
            raise self._fault("it is no list of tasks")

    def _fault(self, why: str) -> DatasetError:
        return DatasetError(
            f"cannot read the export {str(self.path)!r}: {why}",
            remedy="give a JSON or JSON_MIN export of Label Studio",
        )


class ProjectTasks:
    """The tasks of a project, asked for page by page.

    Args:
        server: where the project is.
        project_id: of the project.

    Raises:
        LabelStudioError: Label Studio refused or did not answer.
    """

    unit = "task"

    def __init__(self, server: LabelStudio, project_id: int) -> None:
        self._server = server
        self._project_id = project_id
        project = describe_project(server, project_id)
        self.labeling_config = project.label_config
        self.size = project.task_count

    def tasks(self, on_progress: OnProgress) -> Iterator[LabelledTask]:
        """Read the tasks, ordered by id.

        Args:
            on_progress: called with 1 after each task.

        Raises:
            LabelStudioError: Label Studio refused or did not answer.
        """
        for task in iterate_tasks(self._server, self._project_id, fields=EVERYTHING):
            yield LabelledTask.from_json(task)
            on_progress(1)

    def image_uris(self) -> tuple[set[str], list[str]]:
        """Return the file names that `import_coco` has put here, and what other tasks hold.

        Raises:
            LabelStudioError: Label Studio refused or did not answer.
        """
        imported: set[str] = set()
        others: list[str] = []
        for item in iterate_tasks(self._server, self._project_id):
            task = LabelledTask.from_json(item)
            name = task.coco.get("file_name")
            if isinstance(name, str):
                imported.add(name)
            else:
                others += [value for value in task.data.values() if isinstance(value, str)]
        return imported, others


def _counted(file: BinaryIO, items: Iterable[Any], on_progress: OnProgress) -> Iterator[Any]:
    read = 0
    for item in items:
        yield item
        on_progress(file.tell() - read)
        read = file.tell()


def _no_task(why: str) -> DatasetError:
    return DatasetError(
        f"the export holds something else than tasks: {why}",
        remedy="give a JSON or JSON_MIN export of Label Studio",
    )
