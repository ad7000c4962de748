"""Label Studio projects in which a click gives a mask: config, pictures, connected backend."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from msgspec import Struct

from backend.core.errors import LabelStudioError
from backend.core.text import without_secrets
from backend.label_studio.client import LabelStudio
from backend.label_studio.ml_backends import (
    BACKEND_TITLE,
    list_backends,
    register_backend,
    remove_backend,
)
from backend.label_studio.project_tasks import iterate_tasks

PROJECTS_LISTED = 100

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
    found = find_project(server, title)
    if found is not None:
        return found
    return create_project(server, title, LABELING_CONFIG, instruction=instruction)


def find_project(server: LabelStudio, title: str) -> int | None:
    """Return the id of the project with a title; None if there is none."""
    for project in _iterate_projects(server, f"open the project {title!r}"):
        if project.title == title:
            return project.id
    return None


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
    project = {
        "title": title,
        "label_config": labeling_config,
        "expert_instruction": instruction,
        "show_instruction": bool(instruction),
    }
    task = f"create the project {title!r}"
    return server.post_json("/api/projects/", project, _Created, task=task).id


class Project(NamedTuple):
    """What is needed to work on a project; `key` is its name in Label Studio's requests to us."""

    id: int
    title: str
    label_config: str
    task_count: int
    key: str


def describe_project(server: LabelStudio, project_id: int) -> Project:
    """Ask for what is needed to work on a project."""
    return server.get_json(f"/api/projects/{project_id}/", _ProjectAnswer).project()


def list_projects(server: LabelStudio) -> list[Project]:
    """List the projects that the token's user sees, newest first; at most `PROJECTS_LISTED`."""
    page = server.get_json(f"/api/projects/?page_size={PROJECTS_LISTED}", _ProjectPage)
    return [answer.project() for answer in page.results]


def save_labeling_config(server: LabelStudio, project_id: int, labeling_config: str) -> None:
    """Give a project another labeling config.

    Raises:
        LabelStudioError: it does not fit the annotations that the project has, or is not one.
    """
    task = f"save the labeling config of project {project_id}"
    config = {"label_config": labeling_config}
    server.patch_json(f"/api/projects/{project_id}/", config, task=task)


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
    task = f"take {len(missing)} pictures"
    server.upload(f"/api/projects/{project_id}/import", list(missing.items()), Any, task=task)
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
    path = f"/api/projects/{project_id}/import?commit_to_project=false"
    ids = server.upload(path, files, _Uploaded, task=f"take {len(files)} pictures").file_upload_ids
    if len(ids) != len(files):
        raise LabelStudioError(
            f"Label Studio at {without_secrets(server.url)} took {len(ids)} of {len(files)} files",
            remedy="see which kinds of files it takes",
        )
    uploads = [server.get_json(f"/api/import/file-upload/{number}", _Upload) for number in ids]
    return [f"/data/{upload.file}" for upload in uploads]


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
    known = list_backends(server, project_id)
    for record in known:
        if record.title == BACKEND_TITLE and not record.is_at(backend_url):
            remove_backend(server, project_id, record)
    return register_backend(server, project_id, backend_url, known=known).id


class _ProjectAnswer(Struct):
    id: int
    created_at: datetime
    title: str | None = None
    label_config: str | None = None
    task_number: int | None = None

    def project(self) -> Project:
        return Project(
            id=self.id,
            title=self.title or "",
            label_config=self.label_config or "",
            task_count=self.task_number or 0,
            key=f"{self.id}.{int(self.created_at.timestamp())}",
        )


class _ProjectPage(Struct):
    results: list[_ProjectAnswer]
    next: str | None = None


class _Created(Struct):
    id: int


class _Uploaded(Struct):
    file_upload_ids: list[int]


class _Upload(Struct):
    file: str


def _iterate_projects(server: LabelStudio, task: str) -> Iterator[Project]:
    number = 1
    while True:
        path = f"/api/projects/?page={number}&page_size={PROJECTS_LISTED}"
        page = server.get_json(path, _ProjectPage, task=task)
        yield from (answer.project() for answer in page.results)
        if page.next is None or not page.results:
            return
        number += 1


def _tasks_by_picture(
    server: LabelStudio, project_id: int, pictures: Mapping[str, bytes]
) -> dict[str, int]:
    tasks: dict[str, int] = {}
    for task in iterate_tasks(server, project_id):
        # Label Studio stores an upload as /data/upload/<project>/<8 hex>-<name>.
        name = str(task["data"].get("image", "")).rpartition("/")[2].partition("-")[2]
        if name in pictures:
            tasks[name] = task["id"]
    return tasks
