"""The detailed report of `python -m mobilesam evaluate`: tables on the terminal, JSON in a file."""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mobilesam.coco_instances import read_instances
from mobilesam.evaluation.clicks_to_iou import GOOD_IOU
from mobilesam.evaluation.report import (
    Labelled,
    as_json,
    differences,
    labelled_coco,
    labelled_scenes,
    measure,
    rows,
    whole_image,
)
from mobilesam.predictor import Predictor

GROUPS = ("size", "source", "category")


def add_report_arguments(command: argparse.ArgumentParser) -> None:
    """Declare the options of the report; any of them asks for it."""
    command.add_argument(
        "--by",
        choices=GROUPS,
        action="append",
        help="report IoU and boundary IoU with intervals, and divide the objects; may come often",
    )
    command.add_argument(
        "--clicks-to-good",
        type=int,
        default=0,
        metavar="N",
        help="count the clicks to an IoU of 85 and 90 %%, N on each object at most",
    )
    command.add_argument("--json", type=Path, help="file for the report and every answer")
    command.add_argument(
        "--against", help="official, demo or a .pt file: paired differences to these weights"
    )


def wants_report(options: argparse.Namespace) -> bool:
    """Whether an option of the report was given."""
    return bool(options.by or options.clicks_to_good or options.json or options.against)


def report(options: argparse.Namespace, predictor: Predictor) -> None:
    """Measure, print the tables and write the JSON file.

    Raises:
        ImageError: the COCO file or an image cannot be used.
        CheckpointError: the weights to compare with cannot be read.
    """
    by = options.by or ["size"]
    answers = measure(whole_image(predictor), _examples(options), clicks=options.clicks_to_good)
    content: dict[str, Any] = {"weights": predictor.model_id, "rows": rows(answers, by)}
    _print_rows(content["rows"])
    if options.against:
        other = Predictor(
            options.against, options.device, runtime=options.runtime, precision=options.precision
        )
        others = measure(whole_image(other), _examples(options), clicks=options.clicks_to_good)
        content |= {
            "against": other.model_id,
            "rows_against": rows(others, by),
            "differences": differences(answers, others, by),
        }
        print(f"\n{other.model_id}")
        _print_rows(content["rows_against"])
        print("\ndifference of IoU, the same prompts")
        for row in content["differences"]:
            print(f"{_label(row)} {_interval(row['difference'], '+.3f')}")
    if options.json:
        content["answers"] = as_json(answers)
        options.json.write_text(json.dumps(content, indent=1) + "\n")


def _examples(options: argparse.Namespace) -> Iterator[Labelled]:
    if not options.coco:
        return labelled_scenes(options.scenes)
    folder = options.images or options.coco.with_name("images")
    return labelled_coco(read_instances(options.coco, folder))


def _print_rows(found: Sequence[Mapping[str, Any]]) -> None:
    print(f"{'objects':24} {'prompt':17} {'number':>6}  IoU (95 % interval)      boundary IoU")
    for row in found:
        line = f"{_label(row)} {_interval(row['iou'])}  {_interval(row['boundary_iou'])}"
        for iou, count in zip(GOOD_IOU, row.get("clicks", ()), strict=False):
            line += f"  {count:.2f} clicks to {iou:.0%}"
        print(line)


def _label(row: Mapping[str, Any]) -> str:
    return f"{row['group'][:24]:24} {row['prompt']:17} {row['objects']:6}"


def _interval(values: Sequence[float], style: str = ".3f") -> str:
    mean, low, high = (format(value, style) for value in values)
    return f"{mean} ({low} to {high})"
