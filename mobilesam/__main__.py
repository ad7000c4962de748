"""Command line of the model: `python -m mobilesam predict | download | evaluate | ...`."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mobilesam import __version__
from mobilesam.errors import MobileSamError
from mobilesam.evaluation.clicks_to_iou import click_objects, print_table
from mobilesam.evaluation.mean_iou import Example, coco_examples, compare, evaluate, held_out_scenes
from mobilesam.evaluation.proposal_recall import evaluate_proposals
from mobilesam.evaluation.report_command import add_report_arguments, report, wants_report
from mobilesam.predictor import Predictor
from mobilesam.proposals import POINTS_PER_SIDE
from mobilesam.sam import SAM
from mobilesam.training.command import add_arguments as add_training_arguments
from mobilesam.weights.download import download


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit status; errors are one line on stderr."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (MobileSamError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    installed = Path(sys.argv[0]).name == "mobilesam"
    program = "mobilesam" if installed else "python -m mobilesam"
    parser = argparse.ArgumentParser(prog=program, description=__doc__)
    parser.add_argument("--version", action="version", version=f"{program} {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")

    model = argparse.ArgumentParser(add_help=False)
    model.add_argument("--checkpoint", default="official", help="official, demo or a .pt file")
    model.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    model.add_argument("--runtime", default="auto", help="auto, torch or openvino")
    model.add_argument("--precision", default="auto", help="auto, float32 or float16")

    pictures = argparse.ArgumentParser(add_help=False)
    pictures.add_argument("--scenes", type=_count, default=200, help="how many (default: 200)")
    pictures.add_argument("--coco", type=Path, help="instances JSON to use instead of scenes")
    pictures.add_argument("--images", type=Path, help="folder of its images (default: images)")

    command = commands.add_parser(
        "predict", parents=[model], help="segment objects of an image file, write a picture"
    )
    command.add_argument("image", type=Path)
    command.add_argument(
        "--point", type=float, nargs=2, action="append", metavar=("X", "Y"), help="on the object"
    )
    command.add_argument(
        "--off", type=float, nargs=2, action="append", metavar=("X", "Y"), help="off the object"
    )
    command.add_argument("--box", type=float, nargs=4, metavar=("X0", "Y0", "X1", "Y1"))
    command.add_argument("--out", type=Path, required=True, help="picture to write")
    command.set_defaults(run=_predict)

    command = commands.add_parser("download", help="fetch and verify the official weights")
    command.add_argument("--to", type=Path, help="file to write; the cache folder if not given")
    command.set_defaults(run=_download)

    command = commands.add_parser(
        "evaluate",
        parents=[model, pictures],
        help="mean IoU on held-out generated scenes or a COCO file",
    )
    command.add_argument(
        "--everything",
        action="store_true",
        help="how many objects are found without prompts instead",
    )
    command.add_argument(
        "--points-per-side",
        type=_count,
        default=POINTS_PER_SIDE,
        help=f"of the grid of --everything (default: {POINTS_PER_SIDE})",
    )
    add_report_arguments(command)
    command.set_defaults(run=_evaluate)

    command = commands.add_parser(
        "train", help="fine-tune weights on a COCO file: weights, card and curve; resumable"
    )
    add_training_arguments(command)

    command = commands.add_parser(
        "clicks",
        parents=[model, pictures],
        help="clicks that a good mask takes, with and without the mask before each of them",
    )
    command.add_argument("--objects", type=_count, default=300, help="at most (default: 300)")
    command.add_argument("--clicks", type=_count, default=10, help="an object (default: 10)")
    command.set_defaults(run=_clicks)

    command = commands.add_parser(
        "compare",
        parents=[model, pictures],
        help="compare a runtime's and precision's masks with torch in float32",
    )
    command.set_defaults(run=_compare)
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def _predict(options: argparse.Namespace) -> None:
    on, off = options.point or [], options.off or []
    model = SAM(
        options.checkpoint, options.device, runtime=options.runtime, precision=options.precision
    )
    result = model.predict(
        options.image,
        points=[on + off] if on or off else None,
        labels=[[1] * len(on) + [0] * len(off)] if on or off else None,
        bboxes=options.box,
    )
    result.save(options.out)
    print(f"wrote {options.out}; predicted IoU {result.scores[0]:.3f}")


def _download(options: argparse.Namespace) -> None:
    print(download(to=options.to))


def _evaluate(options: argparse.Namespace) -> None:
    predictor = _predictor(options)
    if wants_report(options):
        report(options, predictor)
        return
    examples = _examples(options)
    scores = (
        evaluate_proposals(predictor, examples, points_per_side=options.points_per_side)
        if options.everything
        else evaluate(predictor, examples)
    )
    for label, number in scores.rows():
        print(f"{label:48} {number:8.3f}" if number % 1 else f"{label:48} {number:8.0f}")


def _clicks(options: argparse.Namespace) -> None:
    scores = click_objects(
        _predictor(options), _examples(options), objects=options.objects, clicks=options.clicks
    )
    print_table(scores)


def _compare(options: argparse.Namespace) -> None:
    predictor = _predictor(options)
    reference = Predictor(options.checkpoint, "cpu", runtime="torch", precision="float32")
    found = compare(predictor, reference, _examples(options))
    print(f"{len(found['click'])} objects, IoU with torch in float32 on the CPU")
    for kind, values in found.items():
        print(f"  {kind:6} mean {np.mean(values):.4f}   lowest {np.min(values):.4f}")


def _predictor(options: argparse.Namespace) -> Predictor:
    predictor = Predictor(
        options.checkpoint, options.device, runtime=options.runtime, precision=options.precision
    )
    print(
        f"{predictor.model_id} in {predictor.runtime} {predictor.precision} on {predictor.device}"
    )
    return predictor


def _examples(options: argparse.Namespace) -> Iterator[Example]:
    if not options.coco:
        return held_out_scenes(options.scenes)
    return coco_examples(options.coco, options.images or options.coco.with_name("images"))


if __name__ == "__main__":
    sys.exit(main())
