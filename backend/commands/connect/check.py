"""`python -m backend check`: the chain from the weights to a click, link by link."""

import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from typing import TextIO

from backend.commands.connect.chain import Chain, Finding, Link, Status
from backend.commands.connect.login import read_user, read_version
from backend.commands.connect.project_links import ProjectLinks, find_ours
from backend.commands.connect.service_links import ServiceLinks
from backend.core.errors import BackendError, SettingsError
from backend.core.text import without_secrets
from backend.label_studio.client import LabelStudio
from backend.label_studio.ml_backends import list_backends
from backend.label_studio.projects import list_projects

PROJECTS_TRIED = 20  # Label Studio asks every backend of each for its state
NAME_WIDTH = 27  # of the longest name and a blank
STATUS_WIDTH = 9


def run_check(
    environment: Mapping[str, str],
    *,
    project_id: int | None,
    backend_url: str | None,
    as_json: bool,
    out: TextIO,
) -> bool:
    """Test every link and print each; nothing is changed.

    Args:
        environment: the variables that the settings come from.
        project_id: the project to look at; those that have the backend if None.
        backend_url: address of the service from here; the settings' port here if None.
        as_json: print one object at the end, in place of lines.
        out: where to.

    Returns:
        Whether all are ok.
    """

    def report(link: Link) -> None:
        if not as_json:
            print(_line(link), file=out, flush=True)

    chain = Chain(report)
    here = ServiceLinks(chain, environment, backend_url)
    here.test()
    url, token = here.settings.label_studio_url, here.settings.label_studio_api_key
    with closing(LabelStudio(url or "", token)) as server:
        chain.test("label_studio", lambda: _label_studio(server), needs=["settings"])
        chain.test("token", lambda: _token(server), needs=["label_studio"])
        for project in _projects(chain, server, here, project_id):
            ProjectLinks(
                chain, server, here.settings, here.service, here.model_version, project
            ).test()
    if as_json:
        print(json.dumps(as_object(chain), indent=2), file=out)
    return chain.holds


def as_object(chain: Chain) -> dict[str, object]:
    """What `--json` prints: `ok`, and each of `Link` with its fields, in order."""
    return {"ok": chain.holds, "links": [asdict(link) for link in chain.links]}


def _label_studio(server: LabelStudio) -> Finding:
    if not server.url:
        raise SettingsError(
            "LABEL_STUDIO_URL is not set",
            remedy="set LABEL_STUDIO_URL (or --url) to where this machine reaches Label Studio",
        )
    return Finding(f"{read_version(server)} at {without_secrets(server.url)}")


def _token(server: LabelStudio) -> Finding:
    user = read_user(server)
    return Finding(f"{server.token_kind} of {user}")


def _projects(
    chain: Chain, server: LabelStudio, here: ServiceLinks, given: int | None
) -> list[int]:
    """The projects to look at: the one that was given, else those in which the backend is."""
    if given is not None:
        return [given]
    found: list[int] = []

    def look() -> Finding:
        listed = list_projects(server)[:PROJECTS_TRIED]
        found.extend(
            project.id
            for project in listed
            if find_ours(list_backends(server, project.id), here.service.url, here.model_version)
        )
        if not found:
            raise BackendError(
                f"none of the {len(listed)} newest projects has this backend",
                remedy="python -m backend connect",
            )
        numbers = ", ".join(map(str, found))
        return Finding(f"the backend is in {numbers}, of the {len(listed)} newest")

    chain.test("projects", look, needs=["token"])
    return found


def _line(link: Link) -> str:
    status = "FAILED" if link.status is Status.FAILED else link.status.value
    name = link.name.replace("_", " ")
    name = f"{name} ({link.project})" if link.name == "project" and link.project else name
    text = f"{status:{STATUS_WIDTH}}{name:{NAME_WIDTH}}{link.detail}"
    if link.ms is not None:
        text += f", {link.ms:.0f} ms"
    if link.steps_ms:
        steps = ", ".join(f"{name} {ms:.1f}" for name, ms in link.steps_ms.items())
        text += f" ({steps})"
    if link.remedy:
        text += f"\n{'':{STATUS_WIDTH}}{'':{NAME_WIDTH}}-> {link.remedy}"
    return text
