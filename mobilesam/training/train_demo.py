"""Train the demo weights: `python -m mobilesam.training.train_demo`.

The same classes as the official model, small sizes, on scenes that `mobilesam.scenes` paints. Fixed
seeds; a run that was stopped goes on where its last saved step was. Source of the recipe (several
rounds of prompts, corrections where the mask is wrong, the best of three masks for an ambiguous
prompt): Segment Anything (arXiv 2304.02643), section A "Training algorithm".
"""

import argparse
import math
import multiprocessing
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator
from torch import Tensor, nn
from tqdm import tqdm

from mobilesam.model.mobile_sam import SIZES, MobileSAM
from mobilesam.model.prompt_encoder import (
    BOX_BOTTOM_RIGHT,
    BOX_TOP_LEFT,
    NEGATIVE,
    PADDING,
    POSITIVE,
)
from mobilesam.scenes import SIDE
from mobilesam.training.prompt_sampling import correcting_point, loose_box, random_point
from mobilesam.training.scene_pool import Batch, ScenePool, fill_pool
from mobilesam.weights.checkpoint import BUNDLED_DEMO, save_weights

SCENES_PER_STEP = 8
PROMPTS_PER_SCENE = 8
TOKENS = 5  # of a prompt: up to two box corners and three points, or more padding
PEAK_LEARNING_RATE = 1.5e-3
WARM_UP_STEPS = 300
EMA_DECAY = 0.99  # of the averaged weights, which are the ones that ship
NEGATIVE_SHARE = 4  # of the click loss, per positive click: they are rarer, and harder
SAVE_EVERY = 250


class SameObjectHead(nn.Module):
    """A training aid: from the embedding alone, do two pixels belong to one object?

    It teaches the encoder every pixel of an object at once, long before the decoder can. It is not
    part of the model and is thrown away.
    """

    def __init__(self, embedding_dim: int, width: int = 12) -> None:
        super().__init__()
        self.expand = nn.Conv2d(embedding_dim, width * 16, kernel_size=1)
        self.radius = nn.Parameter(torch.tensor(2.0))

    def forward(self, embedding: Tensor, seeds: Tensor) -> Tensor:
        """Compare each seed's pixel with all pixels.

        Args:
            embedding: (B, C, G, G).
            seeds: (B, P) int, flat index of a pixel in the (4G, 4G) grid.

        Returns:
            logits (B, P, 4G, 4G), above 0 where a pixel's code is near the seed's.
        """
        codes = F.pixel_shuffle(self.expand(embedding), 4)  # (B, width, 4G, 4G)
        flat = codes.flatten(2)
        chosen = torch.gather(flat, 2, seeds[:, None].expand(-1, flat.shape[1], -1))
        distance = torch.cdist(chosen.transpose(1, 2), flat.transpose(1, 2)) ** 2
        return (self.radius - distance).unflatten(2, codes.shape[2:])


def sample_prompts(rng: Generator, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Draw the first prompts of a step.

    Returns:
        points (B * P, TOKENS, 2), their kinds (B * P, TOKENS) and the flat seeds (B, P) of the
        same-object head on the 64 x 64 grid.
    """
    points = np.zeros((len(batch.targets), TOKENS, 2), np.float32)
    kinds = np.full((len(batch.targets), TOKENS), PADDING)
    seeds = np.zeros(len(batch.targets), np.int64)
    for index, target in enumerate(batch.targets):
        clicks = [(random_point(rng, target), POSITIVE)]
        seeds[index] = int(clicks[0][0][1]) // 4 * 64 + int(clicks[0][0][0]) // 4
        corners = []
        style = rng.random()
        if style < 0.35:
            x0, y0, x1, y1 = loose_box(rng, target)
            corners = [((x0, y0), BOX_TOP_LEFT), ((x1, y1), BOX_BOTTOM_RIGHT)]
            clicks = clicks if rng.random() < 0.15 else []
        elif style < 0.5:
            clicks += [(random_point(rng, target), POSITIVE) for _ in range(rng.integers(1, 3))]
        if clicks and rng.random() < 0.2 and not target.all():
            clicks = [*clicks[:2], (random_point(rng, ~target), NEGATIVE)]
        for slot, (point, kind) in enumerate(clicks + corners):
            points[index, slot] = point
            kinds[index, slot] = kind
    by_picture = torch.from_numpy(seeds).unflatten(0, (batch.pixels.shape[0], -1))
    return torch.from_numpy(points), torch.from_numpy(kinds), by_picture


def add_corrections(
    rng: Generator, batch: Batch, rows: Tensor, shown: Tensor, points: Tensor, kinds: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the prompts of some rows with one more click where the shown mask is wrong."""
    points, kinds = points[rows].clone(), kinds[rows].clone()
    masks = F.interpolate(shown[:, None], batch.targets.shape[1:], mode="bilinear")[:, 0] > 0
    for slot, row in enumerate(rows.tolist()):
        free = (kinds[slot] == PADDING).nonzero()
        click = correcting_point(
            rng, masks[slot].numpy(), batch.targets[row], central=rng.random() < 0.5
        )
        if click is None or not len(free):
            continue
        points[slot, free[0, 0]] = torch.tensor(click[0])
        kinds[slot, free[0, 0]] = POSITIVE if click[1] else NEGATIVE
    return points, kinds


def mask_losses(logits: Tensor, wanted: Tensor) -> Tensor:
    """Return cross entropy plus dice of logits (N, K, h, w) against wanted (N, h2, w2), (N, K)."""
    logits = F.interpolate(logits, wanted.shape[1:], mode="bilinear")
    targets = wanted[:, None].expand_as(logits)
    entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean((2, 3))
    probability = logits.sigmoid()
    overlap = (probability * targets).sum((2, 3))
    total = (probability + targets).sum((2, 3))
    return 4 * entropy + 1 - (2 * overlap + 1) / (total + 1)


def round_loss(logits: Tensor, iou: Tensor, wanted: Tensor) -> Tensor:
    """Return one round's loss: the clear answer, the best of three, and the predicted IoU."""
    losses = mask_losses(logits, wanted)
    with torch.no_grad():
        masks = F.interpolate(logits, wanted.shape[1:], mode="bilinear") > 0
        truth = wanted[:, None] > 0.5
        true_iou = (masks & truth).sum((2, 3)) / (masks | truth).sum((2, 3)).clamp(min=1)
    best_of_three = losses[:, 1:].min(dim=1).values
    return (losses[:, 0] + best_of_three).mean() + F.mse_loss(iou, true_iou)


def click_loss(logits: Tensor, points: Tensor, kinds: Tensor) -> Tensor:
    """Return the cross entropy at the clicked pixels themselves, which nobody may overlook.

    Args:
        logits: (N, K, h, w).
        points: (N, TOKENS, 2) pixels of the model input.
        kinds: (N, TOKENS).
    """
    share = (kinds == POSITIVE).float() + NEGATIVE_SHARE * (kinds == NEGATIVE).float()
    places = 2 * (points + 0.5) / SIDE - 1
    found = F.grid_sample(logits, places[:, None], align_corners=False, padding_mode="border")
    found = found[:, :, 0]  # (N, K, TOKENS)
    wanted = (kinds == POSITIVE).float()[:, None].expand_as(found)
    entropy = F.binary_cross_entropy_with_logits(found, wanted, reduction="none")
    weight = share[:, None].expand_as(found)
    return (entropy * weight).sum() / weight.sum().clamp(min=1)


def learning_rate(step: int, steps: int) -> float:
    """Return the rate of a step: a linear rise, then half a cosine down to 1 % of the peak."""
    if step < WARM_UP_STEPS:
        return PEAK_LEARNING_RATE * (step + 1) / WARM_UP_STEPS
    done = (step - WARM_UP_STEPS) / max(1, steps - WARM_UP_STEPS)
    return PEAK_LEARNING_RATE * (0.01 + 0.99 * (1 + math.cos(math.pi * min(1.0, done))) / 2)


class Trainer:
    """Model, optimiser and averaged weights of one run; `state` is what a resumed run needs."""

    def __init__(self, folder: Path, steps: int, seed: int, device: str) -> None:
        torch.manual_seed(seed)
        self.folder, self.steps, self.seed, self.device = folder, steps, seed, device
        self.model = MobileSAM(SIZES["demo"]).to(device)
        self.aid = SameObjectHead(SIZES["demo"].embedding_dim).to(device)
        self.trained = nn.ModuleList([self.model, self.aid])
        self.optimizer = torch.optim.AdamW(self.trained.parameters(), weight_decay=0.02)
        self.averaged = torch.optim.swa_utils.AveragedModel(
            self.model,
            multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(EMA_DECAY),
            use_buffers=True,
        )
        self.step = 0
        if self.state_path.exists():
            state = torch.load(self.state_path, weights_only=True, map_location=device)
            self.trained.load_state_dict(state["trained"])
            self.averaged.load_state_dict(state["averaged"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step = state["step"]

    @property
    def averaged_model(self) -> MobileSAM:
        """The model that ships."""
        return cast("MobileSAM", self.averaged.module)

    @property
    def state_path(self) -> Path:
        """Where the run is saved."""
        return self.folder / "state.pt"

    def save(self) -> None:
        """Write what a resumed run needs, and replace the earlier file only when it is whole."""
        state = {
            "trained": self.trained.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
        }
        part = self.state_path.with_suffix(".part")
        torch.save(state, part)
        part.replace(self.state_path)

    def train_step(self, pool: ScenePool) -> float:
        """Do one step and return its loss."""
        rng = np.random.default_rng([self.seed, self.step])
        batch = pool.draw(rng, self.step, SCENES_PER_STEP, PROMPTS_PER_SCENE)
        points, kinds, seeds = (x.to(self.device) for x in sample_prompts(rng, batch))
        wanted = F.avg_pool2d(torch.from_numpy(batch.targets).float(), 2).to(self.device)

        device_type = torch.device(self.device).type
        with torch.autocast(device_type, torch.bfloat16):
            embedding = self.model.image_encoder(batch.pixels.to(self.device))
        embedding = embedding.float()
        repeated = embedding.repeat_interleave(PROMPTS_PER_SCENE, dim=0)
        logits, iou = self.model.decode(repeated, points, kinds)
        loss = round_loss(logits, iou, wanted) + click_loss(logits, points, kinds)

        aid_weight = max(0.1, 1 - self.step / (0.5 * self.steps))
        same = self.aid(embedding, seeds).flatten(0, 1)[:, None]
        loss = loss + aid_weight * mask_losses(same, wanted).mean()

        # A second round for half of the prompts: one click more, often with the mask so far.
        rows = torch.from_numpy(rng.permutation(len(points))[: len(points) // 2]).to(self.device)
        best = logits[rows, 1 + iou[rows, 1:].argmax(dim=1)].detach()
        points, kinds = add_corrections(rng, batch, rows, best.cpu(), points.cpu(), kinds.cpu())
        points, kinds = points.to(self.device), kinds.to(self.device)
        mask = best[:, None] if rng.random() < 0.6 else None
        logits, iou = self.model.decode(repeated[rows], points, kinds, mask)
        loss = loss + round_loss(logits, iou, wanted[rows]) + click_loss(logits, points, kinds)

        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step, self.steps)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.trained.parameters(), 1.0)
        self.optimizer.step()
        self.averaged.update_parameters(self.model)
        self.step += 1
        return loss.item()


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(
        prog="python -m mobilesam.training.train_demo", description=__doc__
    )
    parser.add_argument("--steps", type=int, default=5600, help="steps in all (default: 5600)")
    parser.add_argument("--scenes", type=int, default=6000, help="scenes to paint (default: 6000)")
    parser.add_argument("--seed", type=int, default=0, help="of weights, prompts and scenes")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--folder", type=Path, default=Path("runs/demo"), help="of the run's state")
    parser.add_argument("--out", type=Path, default=BUNDLED_DEMO, help="weights file to write")
    options = parser.parse_args()

    options.folder.mkdir(parents=True, exist_ok=True)
    pool = ScenePool(options.folder / "scenes.npy", options.scenes)
    painter = multiprocessing.get_context("spawn").Process(
        target=fill_pool, args=(pool.path, pool.scenes, options.seed), daemon=True
    )
    painter.start()
    trainer = Trainer(options.folder, options.steps, options.seed, options.device)
    with tqdm(total=options.steps, initial=trainer.step, unit="step") as bar:
        average = None
        while trainer.step < options.steps:
            loss = trainer.train_step(pool)
            average = loss if average is None else 0.99 * average + 0.01 * loss
            bar.set_postfix(loss=f"{average:.3f}")
            bar.update()
            if trainer.step % SAVE_EVERY == 0 or trainer.step == options.steps:
                trainer.save()
    save_weights(trainer.averaged_model, "demo", options.out)
    print(f"wrote {options.out}; measure it with: python -m mobilesam evaluate")


if __name__ == "__main__":
    main()
