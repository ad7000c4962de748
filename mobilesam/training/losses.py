"""Losses of SAM's recipe: focal and dice of the masks, squared error of the predicted IoU.

Source: Segment Anything (arXiv 2304.02643), section A "Losses".
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from mobilesam.model.prompt_encoder import NEGATIVE, POSITIVE

FOCAL_WEIGHT = 20.0  # to 1 of the dice and of the predicted IoU
FOCUS = 2.0  # the focal loss's exponent: how little pixels count that are right already
BEST_OF_THREE_SHARE = 0.25  # of the loss, where the prompt is not ambiguous
CLICK_WEIGHT = 0.2  # to 1 of the dice: a confident miss would drown everything else
NEGATIVE_SHARE = 4.0  # of the click loss, to 1 of a positive click: they are rarer, and harder


def mask_losses(logits: Tensor, wanted: Tensor) -> Tensor:
    """Return focal plus dice loss of each mask, (N, K).

    Args:
        logits: (N, K, h, w).
        wanted: (N, h, w) in 0..1, the share of each cell that is the object's.
    """
    targets = wanted[:, None].expand_as(logits)
    entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    probability = logits.sigmoid()
    missed = (probability - targets).abs() ** FOCUS
    focal = (entropy * missed).mean((2, 3))
    overlap = (probability * targets).sum((2, 3))
    total = (probability + targets).sum((2, 3))
    return FOCAL_WEIGHT * focal + 1 - (2 * overlap + 1) / (total + 1)


def round_loss(logits: Tensor, iou: Tensor, wanted: Tensor, is_ambiguous: Tensor) -> Tensor:
    """Return one round's loss: the clear answer, the best of three, and the predicted IoU.

    Args:
        logits: (N, 4, h, w), the clear answer first.
        iou: (N, 4) predicted.
        wanted: (N, h, w) in 0..1.
        is_ambiguous: (N,) bool, where one of the three candidates is the answer.
    """
    losses = mask_losses(logits, wanted)
    with torch.no_grad():
        masks = logits > 0
        truth = wanted[:, None] > 0.5
        true_iou = (masks & truth).sum((2, 3)) / (masks | truth).sum((2, 3)).clamp(min=1)
    best_of_three = losses[:, 1:].min(dim=1).values
    share = torch.where(is_ambiguous, 1.0, BEST_OF_THREE_SHARE)
    return (losses[:, 0] + share * best_of_three).mean() + F.mse_loss(iou, true_iou)


def click_loss(logits: Tensor, points: Tensor, kinds: Tensor, input_size: int) -> Tensor:
    """Return the cross entropy at the clicked pixels themselves, which nobody may overlook.

    Args:
        logits: (N, K, h, w).
        points: (N, T, 2) pixels of the model input.
        kinds: (N, T).
        input_size: side of the model input in pixels.
    """
    share = (kinds == POSITIVE).float() + NEGATIVE_SHARE * (kinds == NEGATIVE).float()
    places = 2 * (points + 0.5) / input_size - 1
    at_clicks = F.grid_sample(logits, places[:, None], align_corners=False, padding_mode="border")
    at_clicks = at_clicks[:, :, 0]  # (N, K, T)
    wanted = (kinds == POSITIVE).float()[:, None].expand_as(at_clicks)
    entropy = F.binary_cross_entropy_with_logits(at_clicks, wanted, reduction="none")
    weight = share[:, None].expand_as(at_clicks)
    return CLICK_WEIGHT * (entropy * weight).sum() / weight.sum().clamp(min=1)
