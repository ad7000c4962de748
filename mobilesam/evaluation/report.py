"""Validation: IoU and boundary IoU of every object by prompt, size, category and source.

The seam is `Method`: how an image's prompts are answered. The report knows neither embeddings nor
zoom, so that any way to answer is measured with the same prompts.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from operator import attrgetter

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from mobilesam.coco_instances import CocoImage
from mobilesam.errors import ImageError
from mobilesam.evaluation.clicks_to_iou import GOOD_IOU, next_click
from mobilesam.mask_geometry import (
    Mask,
    bounding_box,
    central_point,
    intersection_over_union,
    random_point,
)
from mobilesam.predictor import Predictor
from mobilesam.refining import Logits, ObjectPrompt, predict_refined
from mobilesam.sam import load_image
from mobilesam.scenes import FIRST_HELD_OUT_SEED, generate_scene

Ask = Callable[[ObjectPrompt], Mask]
Method = Callable[[NDArray[np.uint8]], Ask]

BOUNDARY_PX = 3  # how far inside an outline boundary IoU looks, in pixels of the image
LEAST_AREA_PX = 64  # an object with fewer pixels is noise of its annotation
SIZES_PX = {"small": 32**2, "medium": 96**2, "large": np.inf}  # COCO's, by area
PROMPTS = ("click", "off-centre click", "box")
RESAMPLED = 1000  # times, for a confidence interval


@dataclass(frozen=True)
class Labelled:
    """An image (H, W, 3) with the masks (H, W) and categories of its objects."""

    name: str
    image: NDArray[np.uint8]
    masks: Sequence[Mask]
    categories: Sequence[str]
    source: str = ""


@dataclass(frozen=True)
class Answer:
    """How one prompt for one object was answered.

    `clicks` is how many clicks a mask of each of `GOOD_IOU` took, for the prompt "click" where they
    were counted; one more than were tried where no mask was that good.
    """

    image: str
    number: int
    category: str
    source: str
    size: str
    prompt: str
    iou: float
    boundary_iou: float
    clicks: tuple[int, ...] = ()


@dataclass(frozen=True)
class Interval:
    """A mean, and the 95 % confidence interval of it over images."""

    mean: float
    low: float
    high: float
    count: int

    def __str__(self) -> str:
        return f"{self.mean:.3f} ({self.low:.3f} to {self.high:.3f})"


def whole_image(predictor: Predictor) -> Method:
    """Answer from the embedding of the whole image, click by click as the service does."""

    def open_image(image: NDArray[np.uint8]) -> Ask:
        embedding = predictor.embed(image)
        memory = _Memory()
        return lambda prompt: predict_refined(predictor, embedding, prompt, memory).masks[0]

    return open_image


def labelled_coco(images: Iterable[CocoImage]) -> Iterator[Labelled]:
    """Read the pixels and masks of a COCO file's images, one at a time.

    Raises:
        ImageError: an image is missing, or has another size than the file says.
    """
    for image in images:
        pixels = load_image(image.path)
        if pixels.shape[:2] != image.size_hw:
            raise ImageError(
                f"{image.path} is {pixels.shape[1]} x {pixels.shape[0]} px, its instances file "
                f"says {image.size_hw[1]} x {image.size_hw[0]}; export both from one place"
            )
        masks = [image.mask(index) for index in range(len(image.segmentations))]
        yield Labelled(image.path.name, pixels, masks, image.categories, image.source)


def labelled_scenes(count: int) -> Iterator[Labelled]:
    """Paint held-out scenes."""
    for seed in range(FIRST_HELD_OUT_SEED, FIRST_HELD_OUT_SEED + count):
        scene = generate_scene(seed)
        yield Labelled(
            f"scene {seed}", scene.image, list(scene.masks), ["shape"] * len(scene.masks)
        )


def measure(
    method: Method, images: Iterable[Labelled], *, objects: int | None = None, clicks: int = 0
) -> list[Answer]:
    """Ask for every object of the images, with the same prompts for every method.

    Args:
        method: answers.
        images: with their objects; those under `LEAST_AREA_PX` are left out.
        objects: of an image, at most.
        clicks: on each object at most, until its mask is good; 0 counts none.
    """
    answers: list[Answer] = []
    for image in images:
        areas = [int(mask.sum()) for mask in image.masks]
        chosen = [index for index, area in enumerate(areas) if area >= LEAST_AREA_PX]
        if not chosen:
            continue
        ask = method(image.image)
        for index in chosen[:objects]:
            answers += _answers(ask, image, index, clicks)
    return answers


def boundary_iou(a: Mask, b: Mask) -> float:
    """Return the IoU of the masks' pixels near their outlines (arXiv 2103.16562)."""
    return intersection_over_union(_boundary(a), _boundary(b))


def interval(answers: Sequence[Answer], value: Callable[[Answer], float]) -> Interval:
    """Return the mean over objects, with an interval by resampling whole images (fixed seed)."""
    images = sorted({answer.image for answer in answers})
    number = {image: index for index, image in enumerate(images)}
    sums, counts = np.zeros(len(images)), np.zeros(len(images))
    for answer in answers:
        sums[number[answer.image]] += value(answer)
        counts[number[answer.image]] += 1
    draws = np.random.default_rng(0).integers(len(images), size=(RESAMPLED, len(images)))
    means = sums[draws].sum(axis=1) / counts[draws].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(float(sums.sum() / counts.sum()), float(low), float(high), len(answers))


def groups(answers: Sequence[Answer], by: str) -> dict[str, list[Answer]]:
    """Divide answers by "size", "category" or "source", sizes from small to large."""
    order = list(SIZES_PX) if by == "size" else sorted({getattr(one, by) for one in answers})
    divided = {key: [one for one in answers if getattr(one, by) == key] for key in order}
    return {key: members for key, members in divided.items() if members}


def rows(answers: Sequence[Answer], by: Sequence[str]) -> list[dict[str, object]]:
    """Summarise answers: a row for each prompt, of all objects and of each group.

    Returns:
        dictionaries ready for JSON: "group", "prompt", "objects", "iou" and "boundary_iou" (each
        [mean, low, high]) and, where clicks were counted, "clicks" to each of `GOOD_IOU`.
    """
    parts = {"all": list(answers)}
    for key in by:
        parts |= {f"{key} {name}": part for name, part in groups(answers, key).items()}
    found: list[dict[str, object]] = []
    for group, part in parts.items():
        for prompt in PROMPTS:
            asked = [answer for answer in part if answer.prompt == prompt]
            if not asked:
                continue
            row: dict[str, object] = {"group": group, "prompt": prompt, "objects": len(asked)}
            for name in ("iou", "boundary_iou"):
                of = interval(asked, attrgetter(name))
                row[name] = [round(value, 4) for value in (of.mean, of.low, of.high)]
            if asked[0].clicks:
                counts = np.mean([answer.clicks for answer in asked], axis=0)
                row["clicks"] = [round(float(count), 2) for count in counts]
            found.append(row)
    return found


def differences(
    answers: Sequence[Answer], others: Sequence[Answer], by: Sequence[str]
) -> list[dict[str, object]]:
    """Compare two methods on the same prompts: rows as of `rows`, with [mean, low, high] of IoU.

    A difference is of `answers` less `others`, each of the same object and prompt.
    """
    other = {(one.image, one.number, one.prompt): one for one in others}

    def gain(answer: Answer) -> float:
        return answer.iou - other[answer.image, answer.number, answer.prompt].iou

    parts = {"all": list(answers)}
    for key in by:
        parts |= {f"{key} {name}": part for name, part in groups(answers, key).items()}
    found: list[dict[str, object]] = []
    for group, part in parts.items():
        for prompt in PROMPTS:
            asked = [answer for answer in part if answer.prompt == prompt]
            if asked:
                of = interval(asked, gain)
                values = [round(value, 4) for value in (of.mean, of.low, of.high)]
                found.append(
                    {"group": group, "prompt": prompt, "objects": len(asked), "difference": values}
                )
    return found


def as_json(answers: Sequence[Answer]) -> list[dict[str, object]]:
    """Return every answer as a dictionary ready for JSON."""
    return [asdict(answer) for answer in answers]


class _Memory:
    """Logits of every prompt of one image, so that no click is decoded twice."""

    def __init__(self) -> None:
        self._logits: dict[ObjectPrompt, Logits] = {}

    def get(self, prompt: ObjectPrompt) -> Logits | None:
        return self._logits.get(prompt)

    def put(self, prompt: ObjectPrompt, logits: Logits) -> None:
        self._logits[prompt] = logits


def _answers(ask: Ask, image: Labelled, index: int, clicks: int) -> list[Answer]:
    wanted = image.masks[index]
    rng = np.random.default_rng([index, int(wanted.sum())])
    x0, y0, x1, y1 = bounding_box(wanted).tolist()
    prompts = {
        "click": ObjectPrompt((central_point(wanted),), (1,)),
        "off-centre click": ObjectPrompt((off_centre_point(rng, wanted),), (1,)),
        "box": ObjectPrompt(box_xyxy=(x0, y0, x1, y1)),
    }
    area = wanted.sum()
    size = next(name for name, limit in SIZES_PX.items() if area < limit)
    found = []
    for prompt, given in prompts.items():
        mask = ask(given)
        found.append(
            Answer(
                image=image.name,
                number=index,
                category=image.categories[index],
                source=image.source,
                size=size,
                prompt=prompt,
                iou=intersection_over_union(mask, wanted),
                boundary_iou=boundary_iou(mask, wanted),
                clicks=_count_clicks(ask, wanted, clicks) if prompt == "click" and clicks else (),
            )
        )
    return found


def off_centre_point(rng: Generator, mask: Mask) -> tuple[float, float]:
    """Return where people click who do not aim: any pixel but those at the very outline."""
    inner = cv2.erode(np.pad(mask, 1).astype(np.uint8), np.ones((3, 3), np.uint8))[1:-1, 1:-1]
    return random_point(rng, inner.astype(bool) if inner.any() else mask)


def _count_clicks(ask: Ask, wanted: Mask, limit: int) -> tuple[int, ...]:
    """Click on the largest error until the mask is good; return the clicks to each of GOOD_IOU."""
    counts = [limit + 1] * len(GOOD_IOU)
    mask, free, prompt = np.zeros_like(wanted), np.ones_like(wanted), ObjectPrompt()
    for count in range(1, limit + 1):
        click = next_click(mask, wanted, free)
        if click is None:
            break
        (x, y), label = click
        free[int(y), int(x)] = False
        prompt = ObjectPrompt((*prompt.points_xy, (x, y)), (*prompt.point_labels, label))
        mask = ask(prompt)
        iou = intersection_over_union(mask, wanted)
        counts = [
            min(before, count) if iou >= good else before
            for before, good in zip(counts, GOOD_IOU, strict=True)
        ]
        if iou >= max(GOOD_IOU):
            break
    return tuple(counts)


def _boundary(mask: Mask) -> Mask:
    eroded = cv2.erode(
        np.pad(mask, 1).astype(np.uint8), np.ones((3, 3), np.uint8), iterations=BOUNDARY_PX
    )
    return np.asarray(mask & ~eroded[1:-1, 1:-1].astype(bool))
