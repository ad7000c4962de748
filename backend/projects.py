"""Label Studio projects in which a click gives a mask: config, pictures, connected backend."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, NamedTuple

import httpx
from label_studio_sdk.core.api_error import ApiError

from backend.errors import LabelStudioError
from backend.label_studio import LabelStudio
from backend.transport import (
    ERROR_BYTES,
    Answer,
    BodyTooLargeError,
    Deadline,
    TransportError,
    exchange,
    on_one_line,
    without_secrets,
)

UPLOAD_TIMEOUT_S = 60.0
BACKEND_TITLE = "MobileSAM"

# With Auto-Annotation on, the key K picks the smart key point, R the smart rectangle, B the brush.
# Without smart="false" B would pick a smart brush, which draws nothing and prompts nothing.
LABELING_CONFIG = """\
<View>
  <Image name="image" value="$image" zoom="true"/>
  <View style="display: flex; gap: 3em">
    <View>
      <Header value="Click" size="6"/>
      <KeyPointLabels name="point" toName="image" smart="true">
        <Label value="Object" background="#2ecc40"/>
        <Label value="Other" background="#ff851b"/>
      </KeyPointLabels>
    </View>
    <View>
      <Header value="Box" size="6"/>
      <RectangleLabels name="box" toName="image" smart="true">
        <Label value="Object" background="#2ecc40"/>
        <Label value="Other" background="#ff851b"/>
      </RectangleLabels>
    </View>
    <View>
      <Header value="Brush" size="6"/>
      <BrushLabels name="mask" toName="image" smart="false">
        <Label value="Object" background="#2ecc40"/>
        <Label value="Other" background="#ff851b"/>
      </BrushLabels>
    </View>
  </View>
</View>
"""


def open_project(server: LabelStudio, title: str, *, instruction: str) -> int:
    """Find the project with this title, or create it with `LABELING_CONFIG`.

    Args:
        server: where to look.
        title: of the project.
        instruction: HTML that annotators are shown in a new project.

    Returns:
        The project's id. A project that was there is left as it is.

    Raises:
        LabelStudioError: Label Studio refused or did not answer, as from all functions here.
    """
    with _explained(server, f"open the project {title!r}"):
        project: Any
        for project in server.api.projects.list():
            if project.title == title:
                return int(project.id)
    return create_project(server, title, LABELING_CONFIG, instruction=instruction)


def create_project(
    server: LabelStudio, title: str, labeling_config: str, *, instruction: str = ""
) -> int:
    """Create a project.

    Args:
        server: where to.
        title: of the project; others may have the same.
        labeling_config: its XML.
        instruction: HTML that annotators are shown; none if empty.

    Returns:
        The project's id.
    """
    with _explained(server, f"create the project {title!r}"):
        project: Any = server.api.projects.create(
            title=title,
            label_config=labeling_config,
            expert_instruction=instruction,
            show_instruction=bool(instruction),
        )
        return int(project.id)


class Project(NamedTuple):
    """What is needed to work on all tasks of a project."""

    label_config: str
    task_count: int


def describe_project(server: LabelStudio, project_id: int) -> Project:
    """Ask for a project's labeling config and the number of its tasks."""
    project = server.get_json(f"/api/projects/{project_id}/")
    return Project(project.get("label_config") or "", project.get("task_number") or 0)


def upload_pictures(
    server: LabelStudio, project_id: int, pictures: Mapping[str, bytes]
) -> dict[str, int]:
    """Make a task of each picture that the project does not have yet.

    Args:
        server: where the project is.
        project_id: of the project.
        pictures: file name -> content; the name tells whether it is there already.

    Returns:
        File name -> task id.
    """
    known = _tasks_by_picture(server, project_id, pictures)
    missing = {name: content for name, content in pictures.items() if name not in known}
    if not missing:
        return known
    _upload(server, f"/api/projects/{project_id}/import", list(missing.items()))
    return _tasks_by_picture(server, project_id, pictures)


def upload_files(
    server: LabelStudio, project_id: int, files: Sequence[tuple[str, bytes]]
) -> list[str]:
    """Upload image files to a project without making tasks of them.

    Args:
        server: where the project is.
        project_id: of the project.
        files: file name and content.

    Returns:
        For each file what a task's data holds to show it.
    """
    answer = _upload(server, f"/api/projects/{project_id}/import?commit_to_project=false", files)
    ids = json.loads(answer.body)["file_upload_ids"]
    if len(ids) != len(files):
        raise LabelStudioError(
            f"Label Studio at {without_secrets(server.url)} took {len(ids)} of {len(files)} files",
            remedy="see which kinds of files it takes",
        )
    uploads = [server.get_json(f"/api/import/file-upload/{number}") for number in ids]
    return [f"/data/{upload['file']}" for upload in uploads]


def import_tasks(server: LabelStudio, project_id: int, tasks: Sequence[dict[str, Any]]) -> None:
    """Make tasks, with the annotations and predictions that they bring.

    Args:
        server: where the project is.
        project_id: of the project.
        tasks: as Label Studio's JSON import takes them.
    """
    server.post_json(f"/api/projects/{project_id}/import", tasks)


def connect_backend(server: LabelStudio, project_id: int, backend_url: str) -> int:
    """Register the backend with interactive preannotations on, in place of one that moved.

    Args:
        server: where the project is.
        project_id: of the project.
        backend_url: address of the backend as Label Studio reaches it.

    Returns:
        The id of Label Studio's record of the backend.
    """
    with _explained(server, f"connect the backend at {backend_url}"):
        ours = [
            known
            for known in server.api.ml.list(project=project_id)
            if known.title == BACKEND_TITLE
        ]
        for known in ours:
            if known.url == backend_url:
                server.api.ml.update(
                    known.id, project=project_id, url=backend_url, is_interactive=True
                )
                return int(known.id)
        for known in ours:
            _disconnect(server, project_id, known.id, known.url)
        created = server.api.ml.create(
            project=project_id, url=backend_url, title=BACKEND_TITLE, is_interactive=True
        )
        return int(created.id)


def ask_backend(
    server: LabelStudio, backend_id: int, task_id: int, prompts: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Send prompts through Label Studio to the backend, as the browser does after a click.

    Args:
        server: where the task is.
        backend_id: from `connect_backend`.
        task_id: of the task that was clicked.
        prompts: key points or rectangles as Label Studio's regions.

    Returns:
        The regions that the backend answered.
    """
    with _explained(server, f"pass a click on task {task_id} to the backend"):
        answer = server.api.ml.with_raw_response.predict_interactive(
            backend_id, task=task_id, context={"result": prompts}
        ).response.json()
    if "errors" in answer:
        raise LabelStudioError(
            f"a click on task {task_id} failed: "
            + on_one_line("; ".join(map(str, answer["errors"]))),
            remedy="read the backend's log",
        )
    return list((answer["data"] or {}).get("result", []))


def key_point(xy: tuple[float, float], size_hw: tuple[int, int]) -> dict[str, Any]:
    """Make the region that Label Studio sends for a positive click with `LABELING_CONFIG`.

    Args:
        xy: the click, in pixels of the image as displayed.
        size_hw: the image's height and width in pixels.
    """
    height, width = size_hw
    return {
        "id": "click",
        "type": "keypointlabels",
        "from_name": "point",
        "to_name": "image",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "is_positive": True,
        "value": {
            "x": 100 * xy[0] / width,
            "y": 100 * xy[1] / height,
            "keypointlabels": ["Object"],
        },
    }


def _upload(server: LabelStudio, path: str, files: Sequence[tuple[str, bytes]]) -> Answer:
    with _explained(server, f"take {len(files)} pictures"):
        answer = exchange(
            "POST",
            f"{server.url}{path}",
            deadline=Deadline(UPLOAD_TIMEOUT_S),
            max_bytes=ERROR_BYTES,
            reach=server.reach,
            headers={"Authorization": server.authorization()},
            files=files,
        )
        if answer.status != HTTPStatus.CREATED:
            raise ApiError(status_code=answer.status, body=answer.body.decode(errors="replace"))
    return answer


def _tasks_by_picture(
    server: LabelStudio, project_id: int, pictures: Mapping[str, bytes]
) -> dict[str, int]:
    tasks: dict[str, int] = {}
    task: Any
    with _explained(server, f"list the tasks of project {project_id}"):
        for task in server.api.tasks.list(project=project_id):
            # Label Studio stores an upload as /data/upload/<project>/<8 hex>-<name>.
            name = str(task.data.get("image", "")).rpartition("/")[2].partition("-")[2]
            if name in pictures:
                tasks[name] = int(task.id)
    return tasks


def _disconnect(server: LabelStudio, project_id: int, backend_id: int, backend_url: str) -> None:
    server.api.ml.delete(backend_id)
    # Label Studio made it with the backend and keeps calling it.
    for webhook in server.api.webhooks.list(project=str(project_id)):
        if webhook.url == f"{backend_url}/webhook":
            server.api.webhooks.delete(webhook.id)


@contextmanager
def _explained(server: LabelStudio, task: str) -> Iterator[None]:
    try:
        yield
    except ApiError as error:
        detail = on_one_line(_detail(error.body))
        raise LabelStudioError(
            f"Label Studio at {without_secrets(server.url)} answered {error.status_code} "
            f"({detail}) when asked to {task}",
            remedy=_remedy(detail),
        ) from error
    except (httpx.HTTPError, TransportError, BodyTooLargeError) as error:
        raise server.unreachable(f"did not {task} ({error})") from error


def _detail(body: Any) -> str:
    """What Label Studio's JSON error says; the body itself if it is none."""
    if not isinstance(body, dict):
        return str(body)[:500]
    errors = body.get("validation_errors") or {}
    return "; ".join([str(body.get("detail", "")), *map(str, errors.values())]).strip("; ")


def _remedy(detail: str) -> str:
    if "reserved network address" in detail:
        return (
            "start Label Studio with LABEL_STUDIO_USE_DEFAULT_BANNED_SUBNETS=false, "
            "so that it accepts backends on private addresses"
        )
    return "mend what it names and try again"
