"""`python -m backend connect`: from a project and a running backend to a mask for a click."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from backend.commands.connect.clicks import click_through_label_studio, find_target
from backend.commands.connect.config_completion import complete_labeling_config
from backend.commands.connect.keys import what_to_press
from backend.commands.connect.login import read_user, read_version
from backend.commands.connect.running_service import RunningService
from backend.commands.connect.terminal import Terminal
from backend.core.errors import BackendError, LabelingConfigError, LabelStudioError
from backend.core.text import without_secrets
from backend.label_studio.client import LabelStudio
from backend.label_studio.ml_backends import (
    BACKEND_TITLE,
    BackendRecord,
    BasicAuth,
    find_backend,
    list_backends,
    make_room,
    register_backend,
    rivals_of,
)
from backend.label_studio.project_tasks import tasks_after
from backend.label_studio.projects import (
    describe_project,
    list_projects,
    open_project,
    save_labeling_config,
)
from backend.label_studio.refusals import NOT_REACHED
from backend.labeling.parse_config import parse_labeling_config
from backend.settings.settings import Settings

NEW = "new"


@dataclass(frozen=True)
class ConnectOptions:
    """What to connect; what is None is asked for, or found out.

    Args:
        project_id: of a project that is there.
        new_title: or the title of a new one; the one that has it already is taken.
        backend_url: address of the backend as Label Studio reaches it.
    """

    project_id: int | None = None
    new_title: str | None = None
    backend_url: str | None = None


def connect_project(
    server: LabelStudio, options: ConnectOptions, settings: Settings, terminal: Terminal
) -> None:
    """Make every link of the chain that is missing, and click once to prove it.

    Nothing is uploaded, and nothing is changed without a question. A second run changes nothing.

    Args:
        server: Label Studio, with the token of a user who may change the project.
        options: what to connect.
        settings: of the service; its port and its Basic auth.
        terminal: asks and says.

    Raises:
        BackendError: a link cannot be made; says which and what to do.
    """
    terminal.say(
        f"Label Studio {read_version(server)} at {without_secrets(server.url)}, "
        f"as {read_user(server)} ({server.token_kind})."
    )
    basic_auth = BasicAuth.of(settings)
    addresses = _addresses(options.backend_url, settings.port)
    version = _look_at_backend(addresses[0], options.backend_url is not None, terminal)
    project_id = _choose_project(server, options, terminal)
    xml, config_changed = _complete_config(server, project_id, terminal)
    known = list_backends(server, project_id)
    if found := find_backend(known, addresses, None if options.backend_url else version):
        addresses = [found.url]
    record, registered = _register(server, project_id, addresses, known, basic_auth, terminal)
    moved = _make_room(server, project_id, record, known, terminal)
    if not config_changed and not registered and not moved:
        terminal.say("Everything was as it should be; nothing was changed.")
    _prove(server, project_id, xml, record, terminal)


def _addresses(given: str | None, port: int) -> list[str]:
    """Where Label Studio may reach the backend: on its machine, from a container, in one network.

    The last is the service's name in docker/compose.yml.
    """
    if given is not None:
        return [given]
    names = ("localhost", "host.docker.internal", "backend")
    return [f"http://{name}:{port}" for name in names]


def _look_at_backend(url: str, is_given: bool, terminal: Terminal) -> str | None:
    """See that the backend runs, before anything is changed, and return its model's version.

    An address that was given may be one that only Label Studio reaches.
    """
    try:
        health = RunningService(url, None).health()
    except BackendError as error:
        if not is_given:
            raise
        terminal.say(f"Note: from here, {error.message}; Label Studio may reach it.")
        return None
    terminal.say(
        f"Backend at {url}: {health.weights} weights on {health.device} "
        f"({health.runtime} {health.precision})."
    )
    if health.weights == "demo":
        terminal.say("Note: demo weights are for trying the software, not for labelling.")
    return health.model_version


def _choose_project(server: LabelStudio, options: ConnectOptions, terminal: Terminal) -> int:
    title, project_id = options.new_title, options.project_id
    if title is None and project_id is None:
        listed = list_projects(server)
        choices = [(str(project.id), project.title) for project in listed]
        option = "--project or --new"
        answer = terminal.choose("Which project", [*choices, (NEW, "a new one")], option=option)
        if answer == NEW:
            title = terminal.ask("Its title", option=option, default=BACKEND_TITLE)
        else:
            project_id = int(answer)
    if project_id is not None:
        return project_id
    return open_project(server, title or BACKEND_TITLE, instruction="")


def _complete_config(server: LabelStudio, project_id: int, terminal: Terminal) -> tuple[str, bool]:
    """Add what the labeling config lacks; the diff is shown, and somebody says yes, first.

    It is read again before it is saved. Where it lacks something else by then, that is asked about.

    Returns:
        The labeling config as it is then, and whether it was changed.
    """
    try:
        project = describe_project(server, project_id)
    except LabelStudioError as error:
        raise _with_projects(server, error) from error
    terminal.say(f"Project {project_id}: {project.title}, tasks: {project.task_count}.")
    xml = project.label_config
    while True:
        completed = complete_labeling_config(xml)
        if not completed.changes:
            return completed.xml, False
        terminal.say(f"\nIts labeling config lacks: {'; '.join(completed.changes)}.\n")
        terminal.say(_diff(xml, completed.xml))
        terminal.say("")
        if not terminal.confirm("Save it with these lines"):
            _require_usable(xml)
            return xml, False
        # Somebody else may have saved it since it was read: that must not be undone.
        newest = describe_project(server, project_id).label_config
        if newest != xml:
            terminal.say("Somebody else has saved the labeling config meanwhile:\n")
            terminal.say(_diff(xml, newest))
            terminal.say("")
        agreed, xml = completed.changes, newest
        completed = complete_labeling_config(xml)
        if completed.changes == agreed:
            save_labeling_config(server, project_id, completed.xml)
            terminal.say("Labeling config saved.")
            return completed.xml, True


def _require_usable(xml: str) -> None:
    try:
        parse_labeling_config(xml).require_usable()
    except LabelingConfigError as error:
        raise LabelingConfigError(
            f"the labeling config was left as it is, and clicks cannot work: {error.message}",
            remedy=error.remedy,
        ) from error


def _with_projects(server: LabelStudio, error: LabelStudioError) -> LabelStudioError:
    """An error about a project that is not there, with those that are."""
    there = ", ".join(f"{project.id} ({project.title})" for project in list_projects(server)[:20])
    return LabelStudioError(
        error.message, remedy=f"{error.remedy}; its projects are: {there or 'none yet'}"
    )


def _diff(before: str, after: str) -> str:
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), "now", "then", lineterm=""
    )
    return "\n".join(lines)


def _register(
    server: LabelStudio,
    project_id: int,
    addresses: Sequence[str],
    known: Sequence[BackendRecord],
    basic_auth: BasicAuth | None,
    terminal: Terminal,
) -> tuple[BackendRecord, bool]:
    """Register the backend at the first address at which Label Studio reaches it."""
    for number, address in enumerate(addresses, 1):
        try:
            record = register_backend(
                server, project_id, address, known=known, basic_auth=basic_auth
            )
        except LabelStudioError as error:
            if NOT_REACHED not in error.message or len(addresses) == 1:
                raise
            if number == len(addresses):
                raise _reached_nowhere(error, addresses) from error
            terminal.say(f"Label Studio does not reach the backend at {address}.")
        else:
            break
    if record in known:
        return record, False
    terminal.say(f"Backend {record} registered, interactive preannotations on.")
    return record, True


def _reached_nowhere(error: LabelStudioError, addresses: Sequence[str]) -> LabelStudioError:
    return LabelStudioError(
        f"Label Studio reaches the backend at none of {', '.join(addresses)}, "
        f"although it answers at {addresses[0]} from here: {error.message}",
        remedy=f"{error.remedy}; name it with --backend-url",
    )


def _make_room(
    server: LabelStudio,
    project_id: int,
    record: BackendRecord,
    known: Sequence[BackendRecord],
    terminal: Terminal,
) -> bool:
    """See that Label Studio sends the clicks to this backend: the first interactive one gets them.

    Raises:
        BackendError: another one would get them, and somebody said no.
    """
    rivals = rivals_of(record, known)
    for rival in rivals:
        terminal.say(
            f"The backend {rival} ({rival.state.lower()}) is interactive too and older: "
            "Label Studio sends the clicks there."
        )
        change = "Switch its interactive preannotations off" if rival.is_connected else "Remove it"
        if not terminal.confirm(change):
            raise BackendError(
                f"clicks go to the backend {rival}, not to {record}",
                remedy="switch its Interactive preannotations off in Settings > Model",
            )
        terminal.say(f"It is {make_room(server, project_id, rival)}.")
    return bool(rivals)


def _prove(
    server: LabelStudio,
    project_id: int,
    xml: str,
    record: BackendRecord,
    terminal: Terminal,
) -> None:
    link = f"{without_secrets(server.url)}/projects/{project_id}/data"
    tasks = tasks_after(server, project_id, 0, count=1)
    if not tasks:
        terminal.say(
            "The project has no task to click on yet. Import images (Import, on its page), then\n"
            f"    python -m backend check --project {project_id}\n"
            f"clicks on the first one.\n\n{link}"
        )
        return
    target = find_target(parse_labeling_config(xml), tasks[0])
    try:
        mask = click_through_label_studio(server, record.id, target)
    except BackendError as error:
        raise BackendError(
            f"all is connected, but {error.message}",
            remedy=f"see `python -m backend check --project {project_id}` for which link fails",
        ) from error
    if mask.area_px:
        terminal.say(
            f"Test click on task {target.task['id']} through Label Studio: "
            f"a mask of {mask.area_px:,} pixels came back."
        )
    else:
        terminal.say(
            f"Test clicks on task {target.task['id']} through Label Studio were answered, and "
            f"nothing was seen at the {mask.places} places that were clicked."
        )
    terminal.say(f"\n{link}\n\n{what_to_press(xml, target)}")
