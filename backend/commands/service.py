"""`python -m backend serve | demo | warm`: which weights they start with."""

import argparse
import sys
import time

from backend.commands.demo.run import run_demo
from backend.commands.warm import check_warm, run_warm
from backend.core.units import MEGABYTE
from backend.service.server import serve as run_server
from backend.settings.settings import Settings
from mobilesam import CheckpointError, DownloadError, MobileSamError
from mobilesam.weights.checkpoint import find_checkpoint
from mobilesam.weights.download import download

DEMO_NOTICE = "for trying the software only; its masks are not good enough for labelling"


def serve(_arguments: argparse.Namespace, settings: Settings) -> int:
    """Serve with exactly the weights that were asked for: a team must not label with others.

    Returns:
        The exit status.
    """
    try:
        fetch_weights(settings)
        if settings.checkpoint == "demo":
            print(f"*** DEMO WEIGHTS: {DEMO_NOTICE}", file=sys.stderr)
        run_server(settings)
    except MobileSamError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def fetch_weights(settings: Settings) -> None:
    """Have the weights of the settings here.

    Raises:
        MobileSamError: they are not here and cannot be had; says what else can be done.
    """
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


def warm(arguments: argparse.Namespace, settings: Settings) -> int:
    """Embed with the weights of the service; the embeddings are of no use to any other.

    Returns:
        The exit status: 1 if images could not be embedded.

    Raises:
        BackendError: no tier is set, or Label Studio refused.
    """
    check_warm(settings)
    started = time.monotonic()
    try:
        fetch_weights(settings)
        counts = run_warm(settings, project_id=arguments.project, workers=arguments.workers)
    except MobileSamError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(
        f"{counts.embedded} images embedded ({counts.bytes / MEGABYTE:.0f} MB), "
        f"{counts.there} were there, {counts.failed} failed, "
        f"in {time.monotonic() - started:.0f} s"
    )
    return 1 if counts.failed else 0


def demo(_arguments: argparse.Namespace, settings: Settings) -> int:
    """Take the best weights there are: official if they can be had, else the bundled ones.

    Returns:
        The exit status.

    Raises:
        BackendError: something did not start, or ended by itself.
    """
    checkpoint = settings.checkpoint
    if checkpoint == "official":
        try:
            download()
        except DownloadError as error:
            print(f"No official weights: {error}\nUsing the demo weights.", file=sys.stderr)
            checkpoint = "demo"
    run_demo(checkpoint=checkpoint, backend_port=settings.port)
    return 0
