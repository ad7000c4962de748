"""One training run from a parent's weights to a weights file, resumable at any moment."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from mobilesam.coco_instances import CocoImage
from mobilesam.errors import TrainingError
from mobilesam.model.mobile_sam import MobileSAM
from mobilesam.training.feed import KeptFeed, WindowFeed, split
from mobilesam.training.trainer import Feed, Recipe, Trainer, write_atomically
from mobilesam.training.validation import held_out_iou

SAVE_EVERY_S = 60.0
VALIDATION_SHARE = 0.08  # of the time, at most, that goes into validation
KEPT_WINDOWS = 400  # whose embeddings a decoder learns from


@dataclass(frozen=True)
class RunOptions:
    """What belongs to a run beside its recipe.

    `patience` is how many validations may pass without a better one before the run stops;
    `views` how many windows of held-out images each of them asks in.
    """

    folder: Path
    device: str = "cpu"
    held_out_share: float = 0.2
    patience: int = 12
    views: int = 96
    validate_every_s: float = 120.0


class Run:
    """A trainer with its feeds; `train` ends with the best averaged weights in the model.

    Args:
        model: with the parent's weights.
        images: all of them; those to be held out are chosen here.
        recipe: of the training.
        options: of the run.

    Raises:
        TrainingError: too little data, or the folder holds a run with another recipe or data.
    """

    def __init__(
        self,
        model: MobileSAM,
        images: Sequence[CocoImage],
        recipe: Recipe,
        options: RunOptions,
    ) -> None:
        self.options, self.recipe = options, recipe
        self.learnt, self.held_out = split(images, options.held_out_share)
        self._claim_folder()
        self.trainer = Trainer(model, recipe, options.folder, options.device)
        self._feed = self._feed_of(self.learnt, "learnt", recipe.objects, recipe.seed)
        self._questions = self._feed_of(self.held_out, "held_out", 2, 0)

    def train(self) -> MobileSAM:
        """Train to the end, or until nothing gets better, and return the best averaged model."""
        options, trainer = self.options, self.trainer
        progress = trainer.progress
        if not progress.curve:
            self._validate()
        saved = validated = time.monotonic()
        spent, stale = 0.0, 0
        with tqdm(total=1.0, initial=trainer.done, bar_format="{l_bar}{bar}| {postfix}") as bar:
            while trainer.done < 1 and stale < options.patience:
                trainer.train_step(self._feed)
                now = time.monotonic()
                if now - validated > max(options.validate_every_s, spent / VALIDATION_SHARE):
                    before = progress.best
                    self._validate()
                    validated = time.monotonic()
                    spent = validated - now
                    stale = 0 if progress.best > before else stale + 1
                if now - saved > SAVE_EVERY_S:
                    trainer.save()
                    saved = time.monotonic()
                self._show(bar)
        self._validate()
        trainer.save()
        model = trainer.averaged_model
        model.load_state_dict(torch.load(self.best_path, weights_only=True))
        return model.eval()

    @property
    def best_path(self) -> Path:
        """The averaged weights that were best on the held-out images."""
        return self.options.folder / "best.pt"

    def _validate(self) -> None:
        trainer = self.trainer
        score = held_out_iou(
            trainer.averaged_model,
            self._questions,
            self.options.views,
            encodes=self.recipe.part == "all",
            device=trainer.device,
        )
        progress = trainer.progress
        progress.curve.append((progress.seconds, progress.step, progress.loss, score))
        if score > progress.best:
            progress.best = score
            write_atomically(trainer.averaged_model.state_dict(), self.best_path)

    def _feed_of(self, images: Sequence[CocoImage], name: str, objects: int, seed: int) -> Feed:
        model = self.trainer.model
        feed = WindowFeed(images, input_size=model.sizes.input_size, objects=objects, seed=seed)
        if self.recipe.part == "all":
            return feed
        return KeptFeed(feed, model, self.options.folder / name, KEPT_WINDOWS)

    def _claim_folder(self) -> None:
        """Refuse to go on with a run that had other data or another recipe."""
        path = self.options.folder / "recipe.txt"
        described = repr({**asdict(self.recipe), "images": len(self.learnt)})
        if path.exists() and path.read_text() != described:
            raise TrainingError(
                f"{self.options.folder} holds a run with other data or another recipe; "
                "give another --folder, or delete that one"
            )
        self.options.folder.mkdir(parents=True, exist_ok=True)
        path.write_text(described)

    def _show(self, bar: "tqdm[None]") -> None:
        trainer = self.trainer
        bar.n = trainer.done
        bar.set_postfix_str(
            f"step {trainer.progress.step}, loss {trainer.progress.loss:.3f}, "
            f"held-out IoU {trainer.progress.curve[-1][3]:.3f}, {_time_left(trainer)}"
        )


def _time_left(trainer: Trainer) -> str:
    done, seconds = trainer.done, trainer.progress.seconds
    if done <= 0:
        return "time left unknown"
    return f"{seconds / done * (1 - done) / 60:.0f} min left"
