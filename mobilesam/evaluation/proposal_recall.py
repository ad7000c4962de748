"""How many objects are found without a prompt, and how many of the proposals are objects."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mobilesam.evaluation.mean_iou import Example
from mobilesam.predictor import Predictor
from mobilesam.proposals import propose

IOUS = (0.5, 0.75)  # at which an object counts as found


@dataclass
class ProposalScores:
    """The best IoU of each object with a proposal, and of each proposal with an object.

    `seconds` is the time of each image, encoded already.
    """

    objects: list[float] = field(default_factory=list)
    proposals: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def rows(self) -> list[tuple[str, float]]:
        """Return what to print: a line's label and its number."""
        found, right = np.array(self.objects), np.array(self.proposals)
        return [
            ("objects", float(len(found))),
            *((f"found, at an IoU of {iou}", float((found >= iou).mean())) for iou in IOUS),
            ("mean IoU of the best proposal", float(found.mean())),
            ("proposals for each object", len(right) / len(found)),
            *(
                (f"proposals that are objects, at {iou}", float((right >= iou).mean()))
                for iou in IOUS
                if len(right)
            ),
            ("ms for each image, median", float(np.median(self.seconds)) * 1000),
        ]


def evaluate_proposals(
    predictor: Predictor, examples: Iterable[Example], *, points_per_side: int
) -> ProposalScores:
    """Propose masks for every example and compare them with its objects."""
    scores = ProposalScores()
    for image, wanted in examples:
        embedding = predictor.embed(image)
        started = time.perf_counter()
        found = [
            one.masks[0] for one in propose(predictor, embedding, points_per_side=points_per_side)
        ]
        scores.seconds.append(time.perf_counter() - started)
        ious = _ious(wanted, np.array(found).reshape(len(found), *wanted.shape[1:]))
        scores.objects += ious.max(axis=1, initial=0).tolist()
        scores.proposals += ious.max(axis=0, initial=0).tolist()
    return scores


def _ious(masks: NDArray[np.bool_], others: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the IoU of each of N masks with each of M, (N, M)."""
    flat, other_flat = (each.reshape(len(each), -1).astype(np.float32) for each in (masks, others))
    shared = flat @ other_flat.T
    areas = flat.sum(axis=1)[:, None] + other_flat.sum(axis=1)[None]
    ious: NDArray[np.float64] = shared / np.maximum(areas - shared, 1)
    return ious
