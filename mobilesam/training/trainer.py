"""The training loop of a promptable model: prompts, corrections, averaged weights, resumable state.

The recipe is SAM's (arXiv 2304.02643, section A "Training algorithm"): a first prompt, then rounds
of corrections where the mask is wrong, with the mask before; of the three candidates for an
ambiguous prompt only the best one learns.
"""

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor, nn

from mobilesam.model.mobile_sam import MobileSAM
from mobilesam.model.prompt_encoder import NEGATIVE, PADDING, POSITIVE
from mobilesam.training.feed import Batch
from mobilesam.training.losses import click_loss, round_loss
from mobilesam.training.prompt_sampling import (
    TOKENS,
    UNUSED,
    correcting_point,
    first_prompt,
)

Part = Literal["all", "decoder"]
Tensors = tuple[Tensor, ...] | list[Tensor]


@dataclass(frozen=True)
class Recipe:
    """Every number that shapes a run; two runs with the same recipe and data are the same.

    `steps` or `minutes` ends it; the learning rate falls over the last `cooling` of the run.
    """

    part: Part = "all"
    seed: int = 0
    steps: int | None = None
    minutes: float | None = None
    windows: int = 6
    objects: int = 6
    rounds: int = 4
    learning_rate: float = 7e-4
    weight_decay: float = 0.02
    warm_up_steps: int = 100
    cooling: float = 0.4
    ema_decay: float = 0.998
    mask_share: float = 0.8  # of the corrections that come with the mask before


class Feed(Protocol):
    """Where the batches come from."""

    def batch(self, rng: Generator, step: int, count: int) -> Batch:
        """Return a step's batch."""


@dataclass
class Progress:
    """How far a run is: finished steps, seconds of training, and the held-out IoU on the way.

    `curve` has (seconds, step, loss, held-out IoU) of each validation.
    """

    step: int = 0
    seconds: float = 0.0
    loss: float = math.nan
    best: float = -1.0
    curve: list[tuple[float, int, float, float]] = field(default_factory=list)


class Trainer:
    """Model, optimiser and averaged weights of one run.

    Args:
        model: starts as its parent's weights; it learns in place.
        recipe: of the run.
        folder: of the run's state; a state that is there is gone on from.
        device: of the model.
    """

    def __init__(self, model: MobileSAM, recipe: Recipe, folder: Path, device: str) -> None:
        self.recipe, self.folder, self.device = recipe, folder, torch.device(device)
        self.model = model.to(self.device).requires_grad_(requires_grad=True)
        self._ready_to_learn()
        learnt = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            learnt, lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        self.averaged = torch.optim.swa_utils.AveragedModel(
            self.model, multi_avg_fn=self._average, use_buffers=True
        )
        self.progress = Progress()
        self._resume()

    @property
    def averaged_model(self) -> MobileSAM:
        """The model that ships."""
        return cast("MobileSAM", self.averaged.module)

    @property
    def state_path(self) -> Path:
        """Where the run is saved."""
        return self.folder / "state.pt"

    @property
    def done(self) -> float:
        """The share of the run that is over, 0 to 1."""
        shares = [0.0]
        if self.recipe.steps:
            shares.append(self.progress.step / self.recipe.steps)
        if self.recipe.minutes:
            shares.append(self.progress.seconds / 60 / self.recipe.minutes)
        return min(1.0, max(shares))

    def save(self) -> None:
        """Write what a resumed run needs; replaces the earlier file when this one is whole."""
        state = {
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "progress": vars(self.progress),
        }
        write_atomically(state, self.state_path)

    def train_step(self, feed: Feed) -> float:
        """Do one step and return its loss."""
        started = time.perf_counter()
        rng = np.random.default_rng([self.recipe.seed, 1, self.progress.step])
        batch = feed.batch(rng, self.progress.step, self.recipe.windows)
        loss = self._loss(rng, batch)
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.averaged.update_parameters(self.model)
        value = loss.item()
        before = self.progress.loss
        self.progress.loss = value if math.isnan(before) else 0.98 * before + 0.02 * value
        self.progress.step += 1
        self.progress.seconds += time.perf_counter() - started
        return value

    def _loss(self, rng: Generator, batch: Batch) -> Tensor:
        size = batch.masks.shape[-1]
        images = batch.images.to(self.device)
        embedding = images if self.recipe.part == "decoder" else self.model.image_encoder(images)
        embedding = embedding.repeat_interleave(len(batch.masks) // len(images), dim=0)
        prompts = [first_prompt(rng, mask) for mask in batch.masks]
        points = np.stack([points for points, _ in prompts])
        kinds = np.stack([kinds for _, kinds in prompts])
        # The masks at the size of the model's own logits: finer ones cost four times as much.
        wanted = torch.from_numpy(batch.masks).to(self.device).float()[:, None]
        wanted = F.avg_pool2d(wanted, size // (4 * self.model.sizes.grid_size))[:, 0]
        rows: NDArray[np.int64] = np.arange(len(kinds))
        before: Tensor | None = None
        total = torch.zeros((), device=self.device)
        for turn in range(self.recipe.rounds):
            at = torch.from_numpy(rows).to(self.device)
            xy, kind = (torch.from_numpy(x[rows]).to(self.device) for x in (points, kinds))
            logits, iou = decode(self.model, embedding[at], xy, kind, before)
            ambiguous = (
                is_ambiguous(kind) if before is None else torch.zeros_like(at, dtype=torch.bool)
            )
            share = len(rows) / len(kinds)
            total = total + share * (
                round_loss(logits, iou, wanted[at], ambiguous)
                + click_loss(logits, xy, kind.clamp(min=PADDING), size)
            )
            if turn == self.recipe.rounds - 1:
                break
            shown = shown_logits(logits.detach(), iou.detach(), ambiguous)
            # Half of the prompts are corrected, these in every further round.
            count = len(rows) if turn else max(1, len(rows) // 2)
            going_on = np.sort(rng.permutation(len(rows))[:count])
            rows, shown = rows[going_on], shown[torch.from_numpy(going_on).to(self.device)]
            self._correct(rng, batch.masks, shown, rows, points, kinds)
            before = shown if rng.random() < self.recipe.mask_share else None
        return total

    def _correct(
        self,
        rng: Generator,
        masks: NDArray[np.bool_],
        shown: Tensor,
        rows: NDArray[np.int64],
        points: NDArray[np.float32],
        kinds: NDArray[np.int64],
    ) -> None:
        """Add a click to the prompts of some rows, in place, where their shown mask is wrong."""
        full = F.interpolate(shown, masks.shape[1:], mode="bilinear")[:, 0].cpu().numpy() > 0
        for mask, row in zip(full, rows.tolist(), strict=True):
            free = np.flatnonzero(kinds[row] == UNUSED)
            central = rng.random() < 0.5
            click = correcting_point(rng, mask, masks[row], central=central)
            if click is not None and len(free):
                points[row, free[0]] = click[0]
                kinds[row, free[0]] = POSITIVE if click[1] else NEGATIVE

    def _ready_to_learn(self) -> None:
        self.model.train()
        if self.recipe.part == "decoder":
            self.model.image_encoder.eval().requires_grad_(requires_grad=False)

    def _learning_rate(self) -> float:
        """A linear rise, a constant, then a straight fall to 1 % over the end of the run."""
        rise = min(1.0, (self.progress.step + 1) / self.recipe.warm_up_steps)
        fall = min(1.0, (1 - self.done) / self.recipe.cooling)
        return self.recipe.learning_rate * min(rise, max(0.01, fall))

    def _average(self, averaged: Tensors, now: Tensors, seen: Tensor | int) -> None:
        """Move the averaged weights towards today's; quickly at the start of a run."""
        decay = min(self.recipe.ema_decay, (1 + float(seen)) / (10 + float(seen)))
        with torch.no_grad():
            for mean, value in zip(averaged, now, strict=True):
                if mean.is_floating_point():
                    mean.lerp_(value.to(mean.dtype), 1 - decay)
                else:
                    mean.copy_(value)

    def _resume(self) -> None:
        if not self.state_path.exists():
            return
        state = torch.load(self.state_path, weights_only=True, map_location=self.device)
        self.model.load_state_dict(state["model"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.progress = Progress(**state["progress"])


def decode(
    model: MobileSAM, embedding: Tensor, points: Tensor, kinds: Tensor, before: Tensor | None
) -> tuple[Tensor, Tensor]:
    """`MobileSAM.decode` of prompts whose `UNUSED` tokens nothing attends to."""
    tokens, dense = model.prompt_encoder(points, kinds.clamp(min=PADDING), before)
    own = 1 + model.mask_decoder.mask_tokens.weight.shape[0]
    bias = torch.zeros(len(kinds), 1, 1, own + TOKENS, device=kinds.device)
    bias[..., own:].masked_fill_((kinds == UNUSED)[:, None, None], -torch.inf)
    image = (embedding + dense).permute(0, 2, 3, 1)
    logits, iou = model.mask_decoder(image, model.prompt_encoder.grid_positions(), tokens, bias)
    return logits, iou


def is_ambiguous(kinds: Tensor) -> Tensor:
    """Whether a prompt (N, T) is one click and nothing else, (N,) bool."""
    return (kinds >= 0).sum(dim=1) == 1


def shown_logits(logits: Tensor, iou: Tensor, ambiguous: Tensor) -> Tensor:
    """Choose what a person sees, as `Predictor.predict_object` does: (N, 1, h, w)."""
    best = 1 + iou[:, 1:].argmax(dim=1)
    chosen = torch.where(ambiguous, best, torch.zeros_like(best))
    return logits[torch.arange(len(logits), device=logits.device), chosen][:, None]


def write_atomically(content: object, path: Path) -> None:
    """Save with torch so that the file is the old one or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    torch.save(content, part)
    part.replace(path)
