"""The tasks of a project, in the order of their ids.

Pages begin after the last id that was seen, not at a number: a task that is added or deleted
meanwhile neither hides nor repeats another, and the last page costs no more than the first.
"""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from msgspec import Struct, ValidationError, convert

from backend.core.errors import LabelStudioError
from backend.core.text import without_secrets
from backend.core.units import MEGABYTE
from backend.label_studio.client import API_BYTES, API_TIMEOUT_S, AnswerTooLargeError, LabelStudio

ID_AND_DATA = "task_only"
EVERYTHING = "all"  # annotations, drafts and predictions with all their regions
TASKS_PER_PAGE = {ID_AND_DATA: 200, EVERYTHING: 50}  # some megabytes, where masks come along
PAGE_TIMEOUT_S = 300.0  # some minutes for the masks of 50 tasks, on a slow line
TASK_BYTES = 256 * MEGABYTE  # of a single task, with all that was drawn in it
SEQUENTIAL = "Sequential sampling"


def iterate_tasks(
    server: LabelStudio, project_id: int, *, fields: str = ID_AND_DATA
) -> Iterator[dict[str, Any]]:
    """Yield the tasks of a project.

    Args:
        server: where it is.
        project_id: of the project.
        fields: `ID_AND_DATA`, which has `meta` too, or `EVERYTHING`.

    Yields:
        Tasks as Label Studio's JSON has them. Addresses in cloud storages are as they were
        imported, not resolved: a signed address is no name of an image.

    Raises:
        LabelStudioError: Label Studio refused or did not answer.
    """
    last_id, count = 0, TASKS_PER_PAGE[fields]
    while True:
        try:
            page = tasks_after(
                server,
                project_id,
                last_id,
                count=count,
                fields=fields,
                timeout_s=PAGE_TIMEOUT_S,
                max_bytes=API_BYTES if count > 1 else TASK_BYTES,
            )
        except AnswerTooLargeError as error:
            if count == 1:
                raise LabelStudioError(
                    f"the task after task {last_id} is too large: {error.message}",
                    remedy="delete what is in it twice, or the whole task",
                ) from None
            count = max(1, count // 4)  # no more of them in memory than fit
            continue
        if not page:
            return
        yield from page
        last_id = page[-1]["id"]


def tasks_after(
    server: LabelStudio,
    project_id: int,
    task_id: int,
    *,
    count: int,
    fields: str = ID_AND_DATA,
    unfinished: bool = False,
    timeout_s: float = API_TIMEOUT_S,
    max_bytes: int = API_BYTES,
) -> list[dict[str, Any]]:
    """Ask for the tasks that follow one, as `iterate_tasks` yields them.

    The Data Manager's query, and not `/api/projects/{id}/next`, which would lock the task for the
    token's user.

    Args:
        server: where the project is.
        project_id: of the project.
        task_id: of the task before the first one; 0 to begin.
        count: at most so many.
        fields: as for `iterate_tasks`.
        unfinished: only those that still lack an annotation.
        timeout_s: of the call.
        max_bytes: largest page.

    Raises:
        AnswerTooLargeError: the page is larger.
        LabelStudioError: Label Studio refused or did not answer.
    """
    filters = [_filter("id", "greater", "Number", task_id)]
    if unfinished:
        filters.append(_filter("completed_at", "empty", "Datetime", True))
    parameters = {
        "project": project_id,
        "fields": fields,
        "resolve_uri": "false",
        "page": 1,
        "page_size": count,
        "query": json.dumps(
            {"filters": {"conjunction": "and", "items": filters}, "ordering": ["tasks:id"]}
        ),
    }
    tasks = server.get_json(
        f"/api/tasks/?{urlencode(parameters)}",
        _Page,
        task=f"list the tasks of project {project_id}",
        timeout_s=timeout_s,
        max_bytes=max_bytes,
    ).tasks
    _check_tasks(server, project_id, tasks, task_id)
    return tasks


def serves_in_order(
    server: LabelStudio, project_id: int, *, timeout_s: float, max_bytes: int
) -> bool:
    """Ask whether annotators get a project's tasks in the order of their ids.

    The other ways of sampling are random, or need a model's scores.

    Raises:
        LabelStudioError: Label Studio refused or did not answer.
    """
    path = f"/api/projects/{project_id}/"
    project = server.get_json(path, _Sampling, timeout_s=timeout_s, max_bytes=max_bytes)
    return project.sampling == SEQUENTIAL


class _Page(Struct):
    tasks: list[dict[str, Any]]


class _Task(Struct):
    id: int
    data: dict[str, Any]


class _Sampling(Struct):
    sampling: str | None = None


def _check_tasks(
    server: LabelStudio, project_id: int, tasks: list[dict[str, Any]], last_id: int
) -> None:
    """See that each has an id and data, and that the next page will not be this one again."""
    try:
        if all(task.id > last_id for task in convert(tasks, list[_Task])):
            return
        fault = f"tasks that do not follow task {last_id}"
    except ValidationError as error:
        fault = str(error)
    raise LabelStudioError(
        f"Label Studio at {without_secrets(server.url)} listed the tasks of project {project_id} "
        f"otherwise than expected ({fault})",
        remedy="check that a Label Studio answers there, and no other program or proxy: "
        "python -m backend check",
    )


def _filter(column: str, operator: str, kind: str, value: Any) -> dict[str, Any]:
    return {"filter": f"filter:tasks:{column}", "operator": operator, "type": kind, "value": value}
