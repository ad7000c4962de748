"""How good a model is on held-out images while it learns: click and box, whole and in windows."""

import numpy as np
import torch
import torch.nn.functional as F

from mobilesam.model.mobile_sam import MobileSAM
from mobilesam.training.feed import Batch
from mobilesam.training.prompt_sampling import first_prompt
from mobilesam.training.trainer import Feed, decode, is_ambiguous, shown_logits

VIEWS_AT_ONCE = 4


def held_out_iou(
    model: MobileSAM, feed: Feed, views: int, *, encodes: bool, device: torch.device
) -> float:
    """Return the mean IoU of first prompts, the same ones at every call.

    Args:
        model: is put into inference mode.
        feed: of held-out images only.
        views: how many windows to ask in.
        encodes: whether the feed gives pixels (else embeddings).
        device: of the model.
    """
    model.eval()
    scores: list[float] = []
    with torch.inference_mode():
        for step in range(-(-views // VIEWS_AT_ONCE)):
            rng = np.random.default_rng(step)
            batch = feed.batch(rng, step, VIEWS_AT_ONCE)
            scores += _ious(model, batch, rng, encodes=encodes, device=device)
    return float(np.mean(scores))


def _ious(
    model: MobileSAM,
    batch: Batch,
    rng: np.random.Generator,
    *,
    encodes: bool,
    device: torch.device,
) -> list[float]:
    images = batch.images.to(device)
    embedding = model.image_encoder(images) if encodes else images
    embedding = embedding.repeat_interleave(len(batch.masks) // len(images), dim=0)
    prompts = [first_prompt(rng, mask) for mask in batch.masks]
    points = torch.from_numpy(np.stack([points for points, _ in prompts])).to(device)
    kinds = torch.from_numpy(np.stack([kinds for _, kinds in prompts])).to(device)
    logits, iou = decode(model, embedding, points, kinds, None)
    shown = shown_logits(logits, iou, is_ambiguous(kinds))
    masks = F.interpolate(shown, batch.masks.shape[1:], mode="bilinear")[:, 0] > 0
    truth = torch.from_numpy(batch.masks).to(device)
    shared = (masks & truth).sum((1, 2))
    return (shared / (masks | truth).sum((1, 2)).clamp(min=1)).tolist()
