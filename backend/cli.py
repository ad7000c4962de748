"""Command line of the service: `python -m backend serve | demo`."""

import argparse
import sys

from backend.demo import run_demo
from backend.errors import BackendError, SettingsError
from backend.server import serve
from backend.settings import Settings
from mobilesam import CheckpointError, DownloadError, MobileSamError
from mobilesam.checkpoint import find_checkpoint
from mobilesam.download import download

DEMO_NOTICE = "for trying the software only; its masks are not good enough for labelling"


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit status; errors go to stderr without a traceback."""
    parser = argparse.ArgumentParser(prog="python -m backend", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    command = commands.add_parser(
        "serve", help="the service; settings come from the environment, see the README"
    )
    command.set_defaults(run=_serve)
    command = commands.add_parser(
        "demo", help="Label Studio, the service and a project with pictures, connected"
    )
    command.set_defaults(run=_demo)
    options = parser.parse_args(arguments)
    try:
        options.run(Settings.from_environment())
    except SettingsError as error:
        print(f"error: wrong settings, {error.remedy}:\n{error.message}", file=sys.stderr)
        return 2
    except (BackendError, MobileSamError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _serve(settings: Settings) -> None:
    """Serve with exactly the weights that were asked for: a team must not label with others."""
    if settings.checkpoint == "official":
        try:
            download()
        except DownloadError as error:
            raise CheckpointError(
                f"the official weights are not here and cannot be fetched: {error}\n"
                "Put mobile_sam.pt somewhere and set MOBILESAM_CHECKPOINT to its path, or set "
                f"MOBILESAM_CHECKPOINT=demo: {DEMO_NOTICE}"
            ) from error
    find_checkpoint(settings.checkpoint)
    if settings.checkpoint == "demo":
        print(f"*** DEMO WEIGHTS: {DEMO_NOTICE}", file=sys.stderr)
    serve(settings)


def _demo(settings: Settings) -> None:
    """Take the best weights there are: official if they can be had, else the bundled ones."""
    checkpoint = settings.checkpoint
    if checkpoint == "official":
        try:
            download()
        except DownloadError as error:
            print(f"No official weights: {error}\nUsing the demo weights.", file=sys.stderr)
            checkpoint = "demo"
    run_demo(checkpoint=checkpoint, backend_port=settings.port)
