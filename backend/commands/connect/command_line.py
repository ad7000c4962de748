"""The command lines of connect and check."""

import argparse
import os
import sys
from contextlib import closing

from backend.commands.connect.check import run_check
from backend.commands.connect.connect import ConnectOptions, connect_project
from backend.commands.connect.terminal import Terminal
from backend.label_studio.client import LabelStudio
from backend.settings.settings import Settings
from backend.transport.transport import origin

URL, TOKEN = "LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY"


def declare_connect(parser: argparse.ArgumentParser) -> None:
    """Declare what connect takes."""
    _add_label_studio(parser)
    project = parser.add_mutually_exclusive_group()
    project.add_argument("--project", type=int, metavar="ID", help="a project that is there")
    project.add_argument(
        "--new", metavar="TITLE", help="or a new one; the one with this title if there is one"
    )
    parser.add_argument(
        "--backend-url",
        type=_address,
        metavar="URL",
        help="the backend as Label Studio reaches it (default: PORT on localhost, and if Label "
        "Studio does not reach that, on host.docker.internal and on backend, for containers)",
    )
    parser.add_argument("--yes", action="store_true", help="change what is missing without asking")


def declare_check(parser: argparse.ArgumentParser) -> None:
    """Declare what check takes."""
    _add_label_studio(parser)
    parser.add_argument(
        "--project", type=int, metavar="ID", help="(default: all that have this backend)"
    )
    parser.add_argument(
        "--backend-url",
        type=_address,
        metavar="URL",
        help="the backend as this machine reaches it (default: PORT on localhost)",
    )
    parser.add_argument(
        "--json", action="store_true", help="one object: ok, and each link with its status"
    )


def connect(arguments: argparse.Namespace, _settings: None) -> int:
    """Run connect and return its exit status."""
    terminal = Terminal(says_yes=arguments.yes)
    environment = _environment(arguments)
    if not environment.get(URL):
        environment[URL] = terminal.ask(
            "Label Studio's address", option=f"--url or {URL}", default="http://localhost:8080"
        )
    if not environment.get(TOKEN):
        environment[TOKEN] = terminal.ask_secret(
            "Token (Account & Settings > Personal Access Token)", option=f"--token or {TOKEN}"
        )
    settings = Settings.from_environment(environment)
    url = settings.label_studio_url or ""  # it was given, or asked for
    options = ConnectOptions(arguments.project, arguments.new, arguments.backend_url)
    with closing(LabelStudio(url, settings.label_studio_api_key)) as server:
        connect_project(server, options, settings, terminal)
    return 0


def check(arguments: argparse.Namespace, _settings: None) -> int:
    """Run check and return its exit status: 0 if all is ok."""
    is_ok = run_check(
        _environment(arguments),
        project_id=arguments.project,
        backend_url=arguments.backend_url,
        as_json=arguments.json,
        out=sys.stdout,
    )
    return 0 if is_ok else 1


def _add_label_studio(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--url", metavar="URL", help=f"of Label Studio, as this machine reaches it (else {URL})"
    )
    parser.add_argument(
        "--token",
        metavar="TOKEN",
        help=f"personal access token or legacy token; others can see it here (else {TOKEN})",
    )


def _environment(arguments: argparse.Namespace) -> dict[str, str]:
    """The environment's variables, with what the command line says in their place."""
    given = {URL: arguments.url, TOKEN: arguments.token}
    return {**os.environ, **{name: value for name, value in given.items() if value}}


def _address(text: str) -> str:
    try:
        scheme, host, _ = origin(text)
    except ValueError:
        scheme, host = "", ""
    if scheme not in ("http", "https") or not host:
        raise argparse.ArgumentTypeError(f"{text!r} is not a URL such as http://localhost:9090")
    return text.rstrip("/")
