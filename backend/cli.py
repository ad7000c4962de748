"""Command line of the service: `python -m backend serve | demo | connect | check | ...`."""

import argparse
import atexit
import gc
import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import mobilesam
from backend.core.errors import BackendError, SettingsError
from backend.settings.settings import Settings


class Command(NamedTuple):
    """A command: `run` runs it, and `declare` declares its arguments, as "module:function".

    The modules are imported for their own command only: torch alone takes seconds. A command that
    `reads_settings` by itself gets none: its own arguments come before the environment.
    """

    help: str
    run: str
    declare: str | None = None
    reads_settings: bool = False


COMMANDS = {
    "serve": Command(
        "the service; settings come from the environment, see docs/settings.md",
        "backend.commands.service:serve",
    ),
    "demo": Command(
        "Label Studio, the service and a project with pictures, connected",
        "backend.commands.service:demo",
    ),
    "connect": Command(
        "a project of yours: labeling config, backend and interactive preannotations, with a click",
        "backend.commands.connect.command_line:connect",
        "backend.commands.connect.command_line:declare_connect",
        reads_settings=True,
    ),
    "check": Command(
        "every link from the weights to a click, each ok or with what to do",
        "backend.commands.connect.command_line:check",
        "backend.commands.connect.command_line:declare_check",
        reads_settings=True,
    ),
    "warm": Command(
        "embed a project ahead of time, into MOBILESAM_CACHE_DIR or Redis",
        "backend.commands.service:warm",
        "backend.commands.warm:declare_warm",
    ),
    "prelabel": Command(
        "masks for a project's rectangles, or for everything, as predictions",
        "backend.commands.prelabel.command_line:prelabel",
        "backend.commands.prelabel.command_line:declare_prelabel",
    ),
    "export-coco": Command(
        "annotations of a project or an export file, as COCO or for YOLO",
        "backend.commands.datasets:export_coco",
        "backend.commands.datasets:declare_export",
    ),
    "import-coco": Command(
        "a COCO file into a project, or to a file of tasks",
        "backend.commands.datasets:import_coco",
        "backend.commands.datasets:declare_import",
    ),
}


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit status; errors go to stderr without a traceback."""
    arguments = sys.argv[1:] if arguments is None else arguments
    installed = Path(sys.argv[0]).name == "mobilesam-backend"
    program = "mobilesam-backend" if installed else "python -m backend"
    parser = argparse.ArgumentParser(prog=program, description=__doc__)
    parser.add_argument("--version", action="version", version=f"{program} {mobilesam.__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="command", dest="command")
    for name, command in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=command.help, description=command.help)
        if command.declare is not None and name in arguments:  # else it is not needed
            _find(command.declare)(subparser)
    options = parser.parse_args(arguments)
    chosen = COMMANDS[options.command]
    try:
        settings = None if chosen.reads_settings else Settings.from_environment()
        return int(_find(chosen.run)(options, settings))
    except SettingsError as error:
        print(f"error: wrong settings, {error.remedy}:\n{error.message}", file=sys.stderr)
        return 2
    except BackendError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _find(place: str) -> Callable[..., Any]:
    module, _, function = place.partition(":")
    with _everything_stays():
        found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found


@contextmanager
def _everything_stays() -> Iterator[None]:
    """Have no garbage looked for among what is made meanwhile, then and later.

    Imports make half a million objects that live as long as the process. To look through them takes
    a fifth of the time to import them, and later 0.2 s at a time in which nobody is answered.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
        atexit.register(gc.unfreeze)  # native modules complain of what is left at the end
