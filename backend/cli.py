"""Command line of the service: `python -m backend serve | demo | warm`."""

import argparse
import sys
import time

from backend.demo import run_demo
from backend.errors import BackendError, SettingsError
from backend.server import serve
from backend.settings import MEGABYTE, Settings
from backend.warm import check_warm, declare_warm, run_warm
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
    command = commands.add_parser(
        "warm", help="embed a project ahead of time, into MOBILESAM_CACHE_DIR or Redis"
    )
    declare_warm(command)
    command.set_defaults(run=_warm)
    options = parser.parse_args(arguments)
    try:
        return options.run(options, Settings.from_environment())
    except SettingsError as error:
        print(f"error: wrong settings, {error.remedy}:\n{error.message}", file=sys.stderr)
        return 2
    except (BackendError, MobileSamError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _serve(_options: argparse.Namespace, settings: Settings) -> int:
    """Serve with exactly the weights that were asked for: a team must not label with others."""
    _fetch_weights(settings)
    if settings.checkpoint == "demo":
        print(f"*** DEMO WEIGHTS: {DEMO_NOTICE}", file=sys.stderr)
    serve(settings)
    return 0


def _fetch_weights(settings: Settings) -> None:
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


def _demo(_options: argparse.Namespace, settings: Settings) -> int:
    """Take the best weights there are: official if they can be had, else the bundled ones."""
    checkpoint = settings.checkpoint
    if checkpoint == "official":
        try:
            download()
        except DownloadError as error:
            print(f"No official weights: {error}\nUsing the demo weights.", file=sys.stderr)
            checkpoint = "demo"
    run_demo(checkpoint=checkpoint, backend_port=settings.port)
    return 0


def _warm(options: argparse.Namespace, settings: Settings) -> int:
    """Embed with the weights of the service; the embeddings are of no use to any other."""
    check_warm(settings)
    _fetch_weights(settings)
    started = time.monotonic()
    counts = run_warm(settings, project_id=options.project, workers=options.workers)
    print(
        f"{counts.embedded} images embedded ({counts.bytes / MEGABYTE:.0f} MB), "
        f"{counts.there} were there, {counts.failed} failed, "
        f"in {time.monotonic() - started:.0f} s"
    )
    return 1 if counts.failed else 0
