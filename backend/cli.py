"""Command line of the service: `python -m backend serve | demo | export-coco | import-coco`."""

import argparse
import importlib
import sys
from collections.abc import Callable
from typing import NamedTuple

from backend.errors import BackendError, SettingsError
from backend.settings import Settings

Run = Callable[[argparse.Namespace, Settings], int]


class Command(NamedTuple):
    """A command: `module` has the function that runs it, and one that declares its arguments.

    The modules are imported for their own command only: torch alone takes seconds.
    """

    help: str
    module: str
    run: str
    declare: str | None = None


COMMANDS = {
    "serve": Command(
        "the service; settings come from the environment, see the README",
        "backend.service_commands",
        "serve",
    ),
    "demo": Command(
        "Label Studio, the service and a project with pictures, connected",
        "backend.service_commands",
        "demo",
    ),
    "export-coco": Command(
        "annotations of a project or an export file, as COCO or for YOLO",
        "backend.datasets.commands",
        "export_coco",
        "declare_export",
    ),
    "import-coco": Command(
        "a COCO file into a project, or to a file of tasks",
        "backend.datasets.commands",
        "import_coco",
        "declare_import",
    ),
}


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit status; errors go to stderr without a traceback."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(prog="python -m backend", description=__doc__)
    subparsers = parser.add_subparsers(required=True, metavar="command", dest="command")
    for name, command in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=command.help, description=command.help)
        if command.declare is not None and name in arguments:  # else it is not needed
            getattr(importlib.import_module(command.module), command.declare)(subparser)
    options = parser.parse_args(arguments)
    chosen = COMMANDS[options.command]
    try:
        settings = Settings.from_environment()
        run: Run = getattr(importlib.import_module(chosen.module), chosen.run)
        return run(options, settings)
    except SettingsError as error:
        print(f"error: wrong settings, {error.remedy}:\n{error.message}", file=sys.stderr)
        return 2
    except BackendError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
