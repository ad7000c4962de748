"""`python -m mobilesam train`: a COCO file in, a weights file with its card and curve out."""

import argparse
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from mobilesam.coco_instances import CocoImage, read_instances
from mobilesam.errors import TrainingError
from mobilesam.evaluation.report import labelled_coco, measure, rows, whole_image
from mobilesam.model.mobile_sam import SIZES, MobileSAM
from mobilesam.predictor import Predictor
from mobilesam.runtimes.cuda_device import find_device
from mobilesam.training.card import write_card
from mobilesam.training.curve_plot import draw_curve
from mobilesam.training.run import Run, RunOptions
from mobilesam.training.scene_dataset import write_scenes
from mobilesam.training.trainer import Part, Recipe
from mobilesam.weights.checkpoint import (
    find_checkpoint,
    identify_weights,
    load_model,
    save_weights,
)

SMALL_MODEL = 3_000_000  # parameters: a CPU trains all of them in steps of about a second
CARD_IMAGES, CARD_OBJECTS = 60, 8  # held-out images of the card's table, objects of each


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Declare the options of `train`."""
    command.add_argument(
        "--coco", type=Path, action="append", required=True, help="instances JSON; may come often"
    )
    command.add_argument(
        "--images",
        type=Path,
        action="append",
        help="folder of each --coco's images, in the same order (default: images beside it)",
    )
    command.add_argument(
        "--from", dest="parent", default="demo", help="demo, official or a .pt file"
    )
    command.add_argument("--out", type=Path, required=True, help="weights file to write")
    command.add_argument("--minutes", type=float, default=30.0, help="of training (default: 30)")
    command.add_argument("--steps", type=int, help="of training, instead of minutes")
    command.add_argument("--part", choices=("auto", "decoder", "all"), default="auto")
    command.add_argument(
        "--val", type=float, default=0.2, help="share of the images held out (default: 0.2)"
    )
    command.add_argument("--scenes", type=int, default=0, help="generated scenes to mix in")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    command.add_argument("--threads", type=int, help="of the CPU (default: torch's)")
    command.add_argument(
        "--patience",
        type=int,
        default=12,
        help="validations without a better one before the run stops (default: 12)",
    )
    command.add_argument(
        "--folder", type=Path, help="of the run's state (default: the --out file's name + .run)"
    )
    command.set_defaults(run=train)


def train(options: argparse.Namespace) -> None:
    """Train, or go on with a run that was stopped, and write weights, card and curve.

    Raises:
        ImageError: the COCO file or an image cannot be used.
        TrainingError: too little data, or the folder holds another run.
        CheckpointError: the parent's weights cannot be read.
    """
    if options.threads:
        torch.set_num_threads(options.threads)
    folder: Path = options.folder or options.out.with_suffix(".run")
    parent = find_checkpoint(options.parent)
    model = load_model(parent)
    device = find_device(options.device).device
    part = choose_part(options.part, model, device)
    images, data = _read_data(options, folder)
    recipe = Recipe(
        part=part,
        seed=options.seed,
        steps=options.steps,
        minutes=None if options.steps else options.minutes,
    )
    if part == "decoder":
        recipe = replace(recipe, learning_rate=2e-4, windows=4)
    run = Run(
        model,
        images,
        recipe,
        RunOptions(
            folder,
            device=str(device),
            held_out_share=options.val,
            patience=options.patience,
        ),
    )
    print(
        f"{len(run.learnt)} images to learn from, {len(run.held_out)} held out; training "
        f"{'the decoder' if part == 'decoder' else 'everything'} on {device}"
    )
    trained = run.train()
    identity = identify_weights(parent)
    save_weights(
        trained,
        name_of_sizes(model),
        options.out,
        notes={"trained": part, "parent": identity.model_id, "seed": str(options.seed)},
    )
    curve = options.out.with_suffix(".curve.png")
    draw_curve(run.trainer.progress.curve, curve)
    asked = run.held_out[:CARD_IMAGES]
    before, after = (
        rows(
            measure(
                whole_image(Predictor(path, options.device)),
                labelled_coco(asked),
                objects=CARD_OBJECTS,
            ),
            by=["size"],
        )
        for path in (parent, options.out)
    )
    progress = run.trainer.progress
    facts: dict[str, Any] = {
        "name": options.out.name,
        "weights": identify_weights(options.out).model_id,
        "parent": identity.model_id,
        "trained": part,
        "data": data,
        "images": {"learnt": len(run.learnt), "held_out": len(run.held_out)},
        "steps": progress.step,
        "minutes": round(progress.seconds / 60, 2),
        "best_held_out_iou_of_first_prompts": round(progress.best, 4),
        "recipe": asdict(recipe),
        "made": time.strftime("%Y-%m-%d", time.gmtime()),
    }
    card = options.out.with_suffix(".json")
    write_card(card, facts, before, after)
    print(f"wrote {options.out}, {card}, {card.with_suffix('.md').name} and {curve.name}")


def choose_part(wanted: str, model: MobileSAM, device: torch.device) -> Part:
    """Return what learns: everything on a GPU and of small models, else the decoder alone.

    An encode of the official model on two cores costs a second, a step of all its weights a minute;
    its decoder learns from kept embeddings at a step a second.
    """
    if wanted in ("decoder", "all"):
        return wanted  # type: ignore[return-value]  # argparse allows these two only
    parameters = sum(one.numel() for one in model.parameters())
    return "all" if device.type == "cuda" or parameters < SMALL_MODEL else "decoder"


def name_of_sizes(model: MobileSAM) -> str:
    """Return the row of `SIZES` that a model was built from."""
    return next(name for name, sizes in SIZES.items() if sizes == model.sizes)


def _read_data(
    options: argparse.Namespace, folder: Path
) -> tuple[list[CocoImage], list[dict[str, Any]]]:
    files: list[Path] = list(options.coco)
    folders: list[Path] = list(options.images or [file.with_name("images") for file in files])
    if len(folders) != len(files):
        raise TrainingError(
            f"{len(files)} --coco and {len(folders)} --images; give one folder for each file"
        )
    if options.scenes:
        scenes = folder / "scenes"
        files.append(write_scenes(scenes, options.scenes, options.seed))
        folders.append(scenes)
    images: list[CocoImage] = []
    data: list[dict[str, Any]] = []
    for file, of in zip(files, folders, strict=True):
        read = read_instances(file, of)
        missing = [image.path for image in read if not image.path.is_file()]
        if missing:
            raise TrainingError(
                f"{len(missing)} of the {len(read)} images of {file} are not in {of}, such as "
                f"{missing[0].name}; give their folder with --images"
            )
        images += read
        objects = sum(len(image.segmentations) for image in read)
        data.append({"file": file.name, "images": len(read), "objects": objects})
    return images, data
