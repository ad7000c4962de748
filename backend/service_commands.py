"""`python -m backend serve | demo`: which weights they start with."""

import argparse
import sys

from backend.demo import run_demo
from backend.server import serve as run_server
from backend.settings import Settings
from mobilesam import CheckpointError, DownloadError, MobileSamError
from mobilesam.checkpoint import find_checkpoint
from mobilesam.download import download

DEMO_NOTICE = "for trying the software only; its masks are not good enough for labelling"


def serve(_arguments: argparse.Namespace, settings: Settings) -> int:
    """Serve with exactly the weights that were asked for: a team must not label with others.

    Returns:
        The exit status.
    """
    try:
        _fetch_weights(settings)
        if settings.checkpoint == "demo":
            print(f"*** DEMO WEIGHTS: {DEMO_NOTICE}", file=sys.stderr)
        run_server(settings)
    except MobileSamError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
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
