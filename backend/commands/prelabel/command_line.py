"""The command line of prelabel."""

import argparse
import sys
import time
from pathlib import Path

from backend.commands.prelabel.rectangles import Source
from backend.commands.prelabel.run import PrelabelOptions, PrelabelReport, run_prelabel
from backend.commands.service import fetch_weights
from backend.commands.warm import positive
from backend.settings.settings import Settings
from mobilesam import MobileSamError
from mobilesam.proposals import MOST_POINTS_PER_SIDE, POINTS_PER_SIDE


def declare_prelabel(parser: argparse.ArgumentParser) -> None:
    """Declare what prelabel takes."""
    parser.add_argument(
        "--project", type=int, required=True, metavar="ID", help="a project of LABEL_STUDIO_URL"
    )
    what = parser.add_argument_group("what masks are made of (default: --boxes auto)")
    what = what.add_mutually_exclusive_group()
    what.add_argument(
        "--boxes",
        type=Source,
        choices=list(Source),
        default=Source.AUTO,
        help="rectangles of each task's latest annotation, or of its latest prediction; auto: the "
        "latter where the former has none",
    )
    what.add_argument(
        "--coco",
        type=Path,
        metavar="FILE",
        help="the boxes of a COCO file, for tasks whose image has that file name",
    )
    what.add_argument(
        "--everything",
        action="store_true",
        help="no boxes: propose a mask for every object that a grid of points finds",
    )
    parser.add_argument(
        "--points-per-side",
        type=_side,
        default=POINTS_PER_SIDE,
        metavar="N",
        help=f"of the grid of --everything (default: {POINTS_PER_SIDE}); a decode for each point",
    )
    parser.add_argument(
        "--label",
        metavar="NAME",
        help="of masks whose box has no label, or one that the control for masks lacks; of all "
        "with --everything (default: none, or the only one that there is)",
    )
    parser.add_argument(
        "--min-score",
        type=_score,
        metavar="IOU",
        help="leave out masks of which the model expects a lower IoU, 0 to 1 (default: keep all; "
        "with --everything what goes with the weights)",
    )
    parser.add_argument(
        "--redo",
        action="store_true",
        help="replace the predictions of earlier runs; else their tasks are left as they are",
    )
    parser.add_argument(
        "--show", action="store_true", help="have annotators see these predictions from now on"
    )
    parser.add_argument(
        "--workers",
        type=positive,
        default=4,
        metavar="N",
        help="threads that fetch and decode; one more encodes (default: 4)",
    )


def prelabel(arguments: argparse.Namespace, settings: Settings) -> int:
    """Prelabel with the weights of the service, whose embeddings are used and kept.

    Returns:
        The exit status: 1 if anything failed.

    Raises:
        BackendError: see `run_prelabel`.
    """
    started = time.monotonic()
    options = PrelabelOptions(
        project_id=arguments.project,
        source=arguments.boxes,
        coco_file=arguments.coco,
        everything=arguments.everything,
        points_per_side=arguments.points_per_side,
        label=arguments.label,
        min_score=arguments.min_score,
        redo=arguments.redo,
        show=arguments.show,
        workers=arguments.workers,
    )
    try:
        fetch_weights(settings)
        report = run_prelabel(options, settings)
    except MobileSamError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    _print(report, options, seconds=time.monotonic() - started)
    return 1 if report.failed else 0


def _print(report: PrelabelReport, options: PrelabelOptions, *, seconds: float) -> None:
    print(
        f"{report.masks} masks in {report.tasks} tasks, {report.there} were done before, "
        f"{report.empty} have no rectangle, {report.failed} failed, in {seconds:.0f} s"
    )
    if report.unsure:
        print(f"note: {report.unsure} masks had a score below --min-score", file=sys.stderr)
    for note in report.notes:
        print(f"note: {note}", file=sys.stderr)
    if not report.tasks + report.there:
        return
    seen = f"those of {report.shown_before!r}" if report.shown_before else "none"
    if report.shown_before == report.version:
        print(f"annotators see the predictions of {report.version!r}")
    elif options.show:
        print(f"annotators see the predictions of {report.version!r} now; before, {seen}")
    else:
        print(
            f"note: of the predictions, annotators see {seen}: choose {report.version!r} in "
            "Settings > Annotation > Prelabeling, or give this command --show",
            file=sys.stderr,
        )


def _side(text: str) -> int:
    number = int(text)
    if not 1 <= number <= MOST_POINTS_PER_SIDE:
        raise argparse.ArgumentTypeError(f"{text} is not 1 to {MOST_POINTS_PER_SIDE}")
    return number


def _score(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not 0 to 1")
    return number
