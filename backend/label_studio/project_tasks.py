"""The tasks of a project, in the order of their ids.

Pages begin after the last id that was seen, not at a number: a task that is added or deleted
meanwhile neither hides nor repeats another, and the last page costs no more than the first.
"""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from backend.label_studio.client import LabelStudio

ID_AND_DATA = "task_only"
EVERYTHING = "all"  # annotations, drafts and predictions with all their regions
TASKS_PER_PAGE = {ID_AND_DATA: 200, EVERYTHING: 50}  # some megabytes, where masks come along


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
    last_id = 0
    while page := tasks_after(
        server, project_id, last_id, count=TASKS_PER_PAGE[fields], fields=fields
    ):
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
    timeout_s: float | None = None,
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
        timeout_s: of the call; the usual one if not given.

    Raises:
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
    answer = server.get_json(f"/api/tasks/?{urlencode(parameters)}", timeout_s=timeout_s)
    tasks: list[dict[str, Any]] = answer["tasks"]
    return tasks


def _filter(column: str, operator: str, kind: str, value: Any) -> dict[str, Any]:
    return {"filter": f"filter:tasks:{column}", "operator": operator, "type": kind, "value": value}
