"""Label Studio's records of the ML backends of a project: listed, registered, asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from backend.core.errors import LabelStudioError
from backend.core.text import on_one_line
from backend.label_studio.api_faults import explained
from backend.label_studio.client import LabelStudio
from backend.settings.settings import Settings

BACKEND_TITLE = "MobileSAM"
CONNECTED = "Connected"


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
    with explained(server, f"list the backends of project {project_id}"):
        found = [_record(known) for known in server.api.ml.list(project=project_id)]
    return sorted(found, key=lambda record: record.id)


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
    options: dict[str, Any] = {"url": backend_url, "is_interactive": True}
    if basic_auth is not None:
        options |= {
            "auth_method": "BASIC_AUTH",
            "basic_auth_user": basic_auth.user,
            "basic_auth_pass": basic_auth.password,
        }
    with explained(server, f"connect the backend at {backend_url}"):
        for record in known:
            if record.is_at(backend_url):
                if _is_as_wanted(record, basic_auth):
                    return record
                # Sending the record's own address again makes Label Studio look at it anew.
                updated = server.api.ml.update(record.id, project=project_id, **options)
                return _record(updated)
        created = server.api.ml.create(project=project_id, title=BACKEND_TITLE, **options)
        return _record(created)


def make_room(server: LabelStudio, project_id: int, record: BackendRecord) -> str:
    """Keep a backend from getting the clicks: Label Studio sends them to the first interactive one.

    Returns:
        What was done. A backend that does not answer is removed, since Label Studio saves no
        change to such a record.
    """
    if not record.is_connected:
        remove_backend(server, project_id, record)
        return "removed"
    with explained(server, f"switch interactive preannotations off for the backend {record}"):
        server.api.ml.update(record.id, project=project_id, url=record.url, is_interactive=False)
    return "no longer interactive"


def remove_backend(server: LabelStudio, project_id: int, record: BackendRecord) -> None:
    """Remove a backend, with the webhook that Label Studio made for it and would keep calling.

    The record last: where this is interrupted, it is found again.
    """
    with explained(server, f"remove the backend {record}"):
        for webhook in server.api.webhooks.list(project=str(project_id)):
            if webhook.url == f"{record.url}/webhook":
                server.api.webhooks.delete(webhook.id)
        server.api.ml.delete(record.id)


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
    with explained(server, f"pass a click on task {task_id} to the backend"):
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


def _is_as_wanted(record: BackendRecord, basic_auth: BasicAuth | None) -> bool:
    """Whether nothing need be saved; a connected backend has taken the password that is stored."""
    same_user = basic_auth is None or record.basic_auth_user == basic_auth.user
    return record.is_interactive and record.is_connected and same_user


def _record(known: Any) -> BackendRecord:
    return BackendRecord(
        id=int(known.id),
        url=known.url or "",
        title=known.title or "",
        is_interactive=bool(known.is_interactive),
        state=known.readable_state or "",
        error=on_one_line(known.error_message or ""),
        model_version=known.model_version or "",
        basic_auth_user=known.basic_auth_user or "",
    )
