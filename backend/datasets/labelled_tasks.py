"""Labelled tasks, one at a time: from a project through the API, or from an export file."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from backend.core.errors import DatasetError
from backend.core.json_items import JsonError, read_items
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
        """Read a task of the API or of an export.

        Args:
            task: an object, or the bytes of one.
            number: the id of a task that has none, since it was not imported yet.

        Raises:
            DatasetError: a field is missing or of another type.
        """
        try:
            if isinstance(task, bytes):
                read = _TASK.decode(task) if task else None
            else:
                read = msgspec.convert(task, _Task)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise _no_task(task, number, str(error)) from error
        if read is None:
            raise _no_task(task, number, "it is nested too deep")
        if not read.data:
            raise _no_task(task, number, "it has no data")
        meta = read.meta  # anybody's, and in Label Studio it may be a list, too
        return cls(
            number if read.id is None else read.id,
            read.data,
            meta if isinstance(meta, dict) else {},
            read.annotations or [],
            read.drafts or [],
            read.predictions or [],
        )


class _Task(msgspec.Struct):
    """As it stands in Label Studio's JSON; export files hold only the numbers of predictions."""

    id: int | None = None
    data: dict[str, Any] = {}
    meta: Any = None
    annotations: list[dict[str, Any]] | None = None
    drafts: list[dict[str, Any]] | None = None
    predictions: list[dict[str, Any] | int] | None = None


_TASK = msgspec.json.Decoder(_Task)
_RECORD = msgspec.json.Decoder(dict[str, Any])


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

    def tasks(self, on_progress: OnProgress) -> Iterator[LabelledTask | DatasetError]:
        """Read the tasks.

        Args:
            on_progress: called with the number of bytes read since the last call.

        Yields:
            Tasks, and an error in place of each item that is none.

        Raises:
            DatasetError: the file is damaged, no list, or holds items and no task.
        """
        faults: list[DatasetError] | None = []  # before the first task
        try:
            with self.path.open("rb") as file:
                if file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
                    raise self._fault("it is no list of tasks")
                file.seek(0)
                items = (item.data for item in read_items(file, on_progress=on_progress))
                for task in self._tasks(items):
                    if isinstance(task, DatasetError) and faults is not None:
                        faults.append(task)
                        continue
                    yield from faults or ()
                    faults = None
                    yield task
        except JsonError as error:
            raise self._fault(f"it is damaged: {error}") from error
        except OSError as error:
            raise self._fault(error.strerror or str(error)) from error
        if faults:
            raise faults[0]

    def _tasks(self, items: Iterator[bytes]) -> Iterator[LabelledTask | DatasetError]:
        first: list[bytes] = []
        for item in items:
            first.append(item)
            if item.startswith(b"{"):
                break
        items = itertools.chain(first, items)
        if first and _is_record(first[-1]):
            yield from _joined(items)
            return
        for number, item in enumerate(items, 1):
            try:
                yield LabelledTask.from_json(item, number)
            except DatasetError as error:
                yield error

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

    def tasks(self, on_progress: OnProgress) -> Iterator[LabelledTask | DatasetError]:
        """Read the tasks, ordered by id.

        Args:
            on_progress: called with 1 after each task.

        Yields:
            Tasks, and an error in place of each that cannot be read.

        Raises:
            LabelStudioError: Label Studio refused or did not answer.
        """
        for task in iterate_tasks(self._server, self._project_id, fields=EVERYTHING):
            try:
                yield LabelledTask.from_json(task)
            except DatasetError as error:
                yield error
            on_progress(1)

    def image_uris(self) -> tuple[set[str], list[str]]:
        """Return the file names that `import_coco` has put here, and what other tasks hold.

        Raises:
            LabelStudioError: Label Studio refused or did not answer.
        """
        imported: set[str] = set()
        others: list[str] = []
        for item in iterate_tasks(self._server, self._project_id):
            try:
                task = LabelledTask.from_json(item)
            except DatasetError:  # a task without an image that could be known
                continue
            name = task.coco.get("file_name")
            if isinstance(name, str):
                imported.add(name)
            else:
                others += [value for value in task.data.values() if isinstance(value, str)]
        return imported, others


def _is_record(item: bytes) -> bool:
    """Whether an item is one of JSON_MIN, which has the data and the controls side by side."""
    try:
        record = _RECORD.decode(item)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False
    return "data" not in record or (
        "annotation_id" in record and not isinstance(record["data"], dict)
    )


def _joined(items: Iterator[bytes]) -> Iterator[LabelledTask | DatasetError]:
    faults: list[DatasetError] = []

    def records() -> Iterator[dict[str, Any]]:
        for number, item in enumerate(items, 1):
            try:
                record = _RECORD.decode(item)
                if type(record.get("id")) is not int:
                    raise ValueError(  # noqa: TRY301
                        f"its id {record.get('id')!r:.40} is not the number of a task"
                    )
                yield record
            except (msgspec.MsgspecError, ValueError) as error:
                faults.append(_no_task(item, number, str(error)))

    for task in join_records(records()):
        yield from faults
        faults.clear()
        try:
            yield LabelledTask.from_json(task)
        except DatasetError as error:
            yield error
    yield from faults


def _no_task(task: Any, number: int, why: str) -> DatasetError:
    if isinstance(task, dict):
        name = f"task {task.get('id')!r:.40}"
    else:
        name = f"item {number} of the export"
    return DatasetError(
        f"{name} is no task that can be read: {why}",
        remedy="export the project again, as JSON or JSON_MIN",
    )
