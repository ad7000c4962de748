"""Label Studio's records of the ML backends of a project: listed, registered, asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import Struct

from backend.core.errors import LabelStudioError
from backend.core.text import on_one_line
from backend.label_studio.client import LabelStudio
from backend.settings.settings import Settings

BACKEND_TITLE = "MobileSAM"
CONNECTED = "Connected"
CLICK_TIMEOUT_S = 110.0  # Label Studio waits 100 s for the backend


@dataclass(frozen=True)
class BackendRecord:
    """What Label Studio knows of a backend; `state` is what its Model page shows as a badge.

    `error` is what its last /setup answered, where the state is "Error".
    """

    id: int
    url: str
    title: str
    is_interactive: bool
    state: str
    error: str
    model_version: str
    basic_auth_user: str

    def is_at(self, url: str) -> bool:
        """Whether this is its address."""
        return self.url.rstrip("/") == url.rstrip("/")

    @property
    def is_connected(self) -> bool:
        """Whether Label Studio reached it just now, and its /setup was answered well."""
        return self.state == CONNECTED

    def __str__(self) -> str:
        return f"{self.title!r} at {self.url}"


@dataclass(frozen=True)
class BasicAuth:
    """User name and password that the backend asks for."""

    user: str
    password: str

    @classmethod
    def of(cls, settings: Settings) -> "BasicAuth | None":
        """What the backend with these settings asks for; None if it asks for nothing."""
        if settings.basic_auth_user is None or settings.basic_auth_pass is None:
            return None
        return cls(settings.basic_auth_user, settings.basic_auth_pass)


def list_backends(server: LabelStudio, project_id: int) -> list[BackendRecord]:
    """List a project's backends, oldest first; Label Studio asks each for its state first.

    Args:
        server: where the project is.
        project_id: of the project.

    Raises:
        LabelStudioError: Label Studio refused or did not answer, as from all functions here.
    """
    task = f"list the backends of project {project_id}"
    answers = server.get_json(f"/api/ml/?project={project_id}", list[_RecordAnswer], task=task)
    return sorted((answer.record() for answer in answers), key=lambda record: record.id)


def find_backend(
    known: Sequence[BackendRecord], urls: Sequence[str], model_version: str | None
) -> BackendRecord | None:
    """Find the record of a backend; Label Studio may reach it at another address than others do.

    Args:
        known: of `list_backends`.
        urls: addresses that are the backend's.
        model_version: what the backend says of itself; None if that is not known.

    Returns:
        The record at the first of the addresses that has one, else one that is connected to
        something of this version.
    """
    at_urls = (record for url in urls for record in known if record.is_at(url))
    alike = (
        record for record in known if record.is_connected and record.model_version == model_version
    )
    return next(at_urls, None) or next(alike, None)


def rivals_of(record: BackendRecord, known: Sequence[BackendRecord]) -> list[BackendRecord]:
    """The interactive backends that are older: Label Studio sends clicks to the first one."""
    return [other for other in known if other.is_interactive and other.id < record.id]


def register_backend(
    server: LabelStudio,
    project_id: int,
    backend_url: str,
    *,
    known: Sequence[BackendRecord],
    basic_auth: BasicAuth | None = None,
) -> BackendRecord:
    """Register the backend with interactive preannotations on; once, however often it is called.

    Args:
        server: where the project is.
        project_id: of the project.
        backend_url: address of the backend as Label Studio reaches it.
        known: of `list_backends`. A record that is as it should be is left alone.
        basic_auth: what Label Studio is to send.

    Returns:
        The record, as it is then.
    """
    options: dict[str, Any] = {"project": project_id, "url": backend_url, "is_interactive": True}
    if basic_auth is not None:
        options |= {
            "auth_method": "BASIC_AUTH",
            "basic_auth_user": basic_auth.user,
            "basic_auth_pass": basic_auth.password,
        }
    task = f"connect the backend at {backend_url}"
    for record in known:
        if record.is_at(backend_url):
            if _is_as_wanted(record, basic_auth):
                return record
            # Sending the record's own address again makes Label Studio look at it anew.
            path = f"/api/ml/{record.id}"
            return server.patch_json(path, options, _RecordAnswer, task=task).record()
    created = {"title": BACKEND_TITLE, **options}
    return server.post_json("/api/ml/", created, _RecordAnswer, task=task).record()


def make_room(server: LabelStudio, project_id: int, record: BackendRecord) -> str:
    """Keep a backend from getting the clicks: Label Studio sends them to the first interactive one.

    Returns:
        What was done. A backend that does not answer is removed, since Label Studio saves no
        change to such a record.
    """
    if not record.is_connected:
        remove_backend(server, project_id, record)
        return "removed"
    change = {"project": project_id, "url": record.url, "is_interactive": False}
    task = f"switch interactive preannotations off for the backend {record}"
    server.patch_json(f"/api/ml/{record.id}", change, task=task)
    return "no longer interactive"


def remove_backend(server: LabelStudio, project_id: int, record: BackendRecord) -> None:
    """Remove a backend, with the webhook that Label Studio made for it and would keep calling.

    The record last: where this is interrupted, it is found again.
    """
    task = f"remove the backend {record}"
    path = f"/api/webhooks/?project={project_id}"
    for webhook in server.get_json(path, list[_Webhook], task=task):
        if webhook.url == f"{record.url}/webhook":
            server.delete(f"/api/webhooks/{webhook.id}/", task=task)
    server.delete(f"/api/ml/{record.id}", task=task)


def ask_backend(
    server: LabelStudio, backend_id: int, task_id: int, prompts: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Send prompts through Label Studio to the backend, as the browser does after a click.

    Args:
        server: where the task is.
        backend_id: of the backend's record.
        task_id: of the task that was clicked.
        prompts: key points or rectangles as Label Studio's regions.

    Returns:
        The regions that the backend answered.
    """
    answer = server.post_json(
        f"/api/ml/{backend_id}/interactive-annotating",
        {"task": task_id, "context": {"result": prompts}},
        _ClickAnswer,
        task=f"pass a click on task {task_id} to the backend",
        timeout_s=CLICK_TIMEOUT_S,
    )
    if answer.errors is not None:
        raise LabelStudioError(
            f"a click on task {task_id} failed: " + on_one_line("; ".join(map(str, answer.errors))),
            remedy="read the backend's log",
        )
    return answer.data.result if answer.data else []


def _is_as_wanted(record: BackendRecord, basic_auth: BasicAuth | None) -> bool:
    """Whether nothing need be saved; a connected backend has taken the password that is stored."""
    same_user = basic_auth is None or record.basic_auth_user == basic_auth.user
    return record.is_interactive and record.is_connected and same_user


class _RecordAnswer(Struct):
    id: int
    url: str | None = None
    title: str | None = None
    is_interactive: bool | None = None
    readable_state: str | None = None
    error_message: str | None = None
    model_version: str | None = None
    basic_auth_user: str | None = None

    def record(self) -> BackendRecord:
        return BackendRecord(
            id=self.id,
            url=self.url or "",
            title=self.title or "",
            is_interactive=bool(self.is_interactive),
            state=self.readable_state or "",
            error=on_one_line(self.error_message or ""),
            model_version=self.model_version or "",
            basic_auth_user=self.basic_auth_user or "",
        )


class _Webhook(Struct):
    id: int
    url: str | None = None


class _Prediction(Struct):
    result: list[dict[str, Any]] = []


class _ClickAnswer(Struct):
    errors: list[Any] | None = None
    data: _Prediction | None = None
