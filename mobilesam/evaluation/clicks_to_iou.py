"""How many clicks a good mask takes: a simulated annotator on objects whose masks are known.

The usual protocol of interactive segmentation (such as RITM, arXiv 2102.06583): the first click is
on the pixel deepest inside the object, each further one on that deepest inside the largest error,
positive where the mask misses something and negative where it spills.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from mobilesam.evaluation.mean_iou import Example
from mobilesam.mask_geometry import intersection_over_union
from mobilesam.masks import Masks
from mobilesam.predictor import Embedding, Predictor
from mobilesam.refining import Logits, ObjectPrompt, rounded_logits

GOOD_IOU = (0.85, 0.90)  # masks that annotators leave as they are
WORSE = 0.05  # a click that costs more IoU than this made the mask jump
OBJECTS_OF_AN_IMAGE = 6  # so that no picture full of cells decides alone


@dataclass(frozen=True)
class Method:
    """A way to answer the clicks on one object.

    `refined_from` is the first click that the logits of the mask before it go along with, None for
    no click; up to `candidates_until` clicks are answered by the best of three candidates.
    """

    name: str
    refined_from: int | None
    candidates_until: int = 1

    def answer(
        self,
        predictor: Predictor,
        embedding: Embedding,
        prompt: ObjectPrompt,
        previous: Logits | None,
    ) -> Masks:
        """Decode all clicks so far; `previous` is of the mask before the last of them."""
        count = len(prompt.points_xy)
        if self.refined_from is None or count < self.refined_from:
            previous = None
        masks = predictor.predict(
            embedding,
            points_xy=prompt.points_xy,
            point_labels=prompt.point_labels,
            mask_logits=None if previous is None else previous.astype(np.float32),
            multimask=count <= self.candidates_until,
        )
        return masks.best()


# What `refining.predict_refined` does.
PRODUCT = Method("with the mask before", 2)
METHODS = (
    Method("all clicks at once", None),
    Method("  three candidates for two clicks, too", None, candidates_until=2),
    PRODUCT,
    Method("  three candidates for two clicks, too", 2, candidates_until=2),
    Method("with the mask before, from click 3 on", 3),
    Method("with the mask before, from click 4 on", 4),
)


@dataclass
class ClickScores:
    """What the clicks on some objects came to, one list for each object.

    `iou` is after each click, `obeyed` whether the mask then had the clicked pixel as it should be.
    """

    iou: list[list[float]] = field(default_factory=list)
    obeyed: list[list[bool]] = field(default_factory=list)

    def clicks_to(self, iou: float) -> NDArray[np.int64]:
        """Return for each object the clicks until its mask is that good, all if it never is."""
        reached = np.array(self.iou) >= iou
        return np.where(reached.any(axis=1), reached.argmax(axis=1) + 1, reached.shape[1])

    def failed(self, iou: float) -> float:
        """Return the share of objects whose mask is never that good."""
        return float(1 - (np.array(self.iou) >= iou).any(axis=1).mean())

    def worse(self) -> float:
        """Return the share of further clicks after which the mask was clearly worse."""
        return float((np.diff(self.iou) < -WORSE).mean())

    def obeyed_share(self) -> float:
        """Return the share of clicks whose own pixel the mask then had right."""
        return float(np.mean(list(itertools.chain(*self.obeyed))))

    def mean_iou(self) -> NDArray[np.float64]:
        """Return the mean after each click, (clicks,)."""
        return np.asarray(np.mean(self.iou, axis=0), np.float64)


def click_objects(
    predictor: Predictor,
    examples: Iterable[Example],
    *,
    objects: int,
    clicks: int,
    methods: Sequence[Method] = METHODS,
) -> dict[Method, ClickScores]:
    """Click on every object with every method; the same objects and protocol at every run.

    Args:
        predictor: answers; it embeds each image once.
        examples: images with their masks, of which `OBJECTS_OF_AN_IMAGE` each are used.
        objects: how many in all, at most.
        clicks: on each object, also after its mask is good.
        methods: what is compared.
    """
    scores = {method: ClickScores() for method in methods}
    for embedding, wanted in itertools.islice(_objects(predictor, examples), objects):
        for method, score in scores.items():
            _click_object(predictor, embedding, wanted, clicks, method, score)
    return scores


def next_click(
    mask: NDArray[np.bool_], wanted: NDArray[np.bool_], free: NDArray[np.bool_]
) -> tuple[tuple[float, float], int] | None:
    """Return where an annotator clicks next, x and y in pixels, and 1 on the object or 0 off it.

    Args:
        mask: (H, W), on the screen.
        wanted: (H, W), what it should be.
        free: (H, W), False where a click is already.

    Returns:
        None if nothing is wrong.
    """
    missed, spilled = _depth(wanted & ~mask) * free, _depth(mask & ~wanted) * free
    label = int(missed.max() >= spilled.max())
    depth = missed if label else spilled
    if not depth.any():
        return None
    row, column = np.unravel_index(np.argmax(depth), depth.shape)
    return (float(column), float(row)), label


def print_table(scores: dict[Method, ClickScores]) -> None:
    """Print one line for each method; differences are to the first one, of the same objects."""
    first = next(iter(scores.values()))
    clicks = len(first.iou[0])
    shown = [number for number in (1, 2, 3, 5, 10, 15, 20) if number <= clicks]
    heads = [f"to {iou:.0%}" for iou in GOOD_IOU] + [f"never {iou:.0%}" for iou in GOOD_IOU]
    heads += ["worse", "obeyed"] + [f"IoU {number}" for number in shown]
    print("| " + " | ".join([f"{len(first.iou)} objects, {clicks} clicks", *heads]) + " |")
    print("|---" * (1 + len(heads)) + "|")
    for method, score in scores.items():
        cells = [_clicks_cell(score, first, iou) for iou in GOOD_IOU]
        cells += [f"{score.failed(iou):.1%}" for iou in GOOD_IOU]
        cells += [f"{score.worse():.1%}", f"{score.obeyed_share():.1%}"]
        cells += [f"{score.mean_iou()[number - 1]:.3f}" for number in shown]
        print("| " + " | ".join([method.name, *cells]) + " |")


def _objects(
    predictor: Predictor, examples: Iterable[Example]
) -> Iterator[tuple[Embedding, NDArray[np.bool_]]]:
    for image, masks in examples:
        embedding = predictor.embed(image)
        for wanted in masks[:OBJECTS_OF_AN_IMAGE]:
            yield embedding, wanted


def _click_object(
    predictor: Predictor,
    embedding: Embedding,
    wanted: NDArray[np.bool_],
    clicks: int,
    method: Method,
    scores: ClickScores,
) -> None:
    mask, free = np.zeros_like(wanted), np.ones_like(wanted)
    prompt, previous = ObjectPrompt(), None
    iou: list[float] = []
    obeyed: list[bool] = []
    while len(iou) < clicks:
        click = next_click(mask, wanted, free)
        if click is None:
            iou += [iou[-1]] * (clicks - len(iou))
            break
        (x, y), label = click
        free[int(y), int(x)] = False
        prompt = ObjectPrompt((*prompt.points_xy, (x, y)), (*prompt.point_labels, label))
        masks = method.answer(predictor, embedding, prompt, previous)
        mask, previous = masks.masks[0], rounded_logits(masks)
        iou.append(intersection_over_union(mask, wanted))
        obeyed.append(bool(mask[int(y), int(x)]) == bool(label))
    scores.iou.append(iou)
    scores.obeyed.append(obeyed)


def _depth(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return each pixel's distance to what is not in a mask (H, W), whose outside is not."""
    distance = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5)
    return np.asarray(distance[1:-1, 1:-1], np.float32)


def _clicks_cell(score: ClickScores, first: ClickScores, iou: float) -> str:
    count = score.clicks_to(iou)
    if score is first:
        return f"{count.mean():.2f}"
    difference = count - first.clicks_to(iou)
    error = difference.std() / np.sqrt(len(difference))
    return f"{count.mean():.2f} ({difference.mean():+.2f} ± {error:.2f})"
