"""What decoding a JPEG at half scale would save, and what it would do to the masks.

It was tried and is not done: see docs/decisions/0005-jpegs-in-full.md. Each image is
brought to a multiple of the model's input, packed as JPEG and decoded in full and at half scale;
masks of a click and a box from both are compared. Noise of one grey level beside them shows how
much of the difference any change of the pixels makes with these weights. Prints the mean IoU, and
median milliseconds of what an image takes before it is encoded; "Pillow" is its own resizing in
place of ours.
"""

import argparse
import dataclasses
import itertools
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mobilesam import Embedding, Predictor
from mobilesam.evaluation.mean_iou import coco_examples, held_out_scenes
from mobilesam.images.banded_resize import resize_bilinear
from mobilesam.images.resize import resized_hw
from mobilesam.mask_geometry import bounding_box, central_point, intersection_over_union
from mobilesam.model.mobile_sam import SIZES

TIMED_SIZES_WH = [(2048, 1536), (4000, 3000), (6000, 4000)]
QUALITY = 92
OBJECTS = 4  # of each image

Example = tuple[NDArray[np.uint8], NDArray[np.bool_]]


def pack(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Encode (H, W, 3) RGB as JPEG."""
    _, data = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return data


def decode(data: NDArray[np.uint8], *, half: bool) -> NDArray[np.uint8]:
    """Decode to RGB, in full or at half scale."""
    if half:
        return np.asarray(
            cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_REDUCED_COLOR_2), cv2.COLOR_BGR2RGB),
            np.uint8,
        )
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB), np.uint8)


def enlarge(image: NDArray[np.uint8], long_side: int) -> NDArray[np.uint8]:
    """Bring an image to a long side, both sides even."""
    height, width = image.shape[:2]
    scale = long_side / max(height, width)
    size_wh = tuple(max(2, 2 * round(side * scale / 2)) for side in (width, height))
    return cv2.resize(
        image, size_wh, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    )


def agreements(
    predictor: Predictor, first: Embedding, second: Embedding, prompts: list[dict[str, Any]]
) -> Iterator[float]:
    """IoU of the masks from two embeddings, for each prompt."""
    for prompt in prompts:
        one, other = (
            predictor.predict_object(embedding, **prompt).masks[0] for embedding in (first, second)
        )
        yield intersection_over_union(one, other) if one.any() else float(not other.any())


def compare(predictor: Predictor, examples: list[Example], ratio: float) -> tuple[float, float]:
    """Return the mean IoU with half-scale decoding, and with rounding noise instead."""
    halved: list[float] = []
    noisy: list[float] = []
    for number, (image, masks) in enumerate(examples):
        enlarged = enlarge(image, int(ratio * predictor.input_size))
        scale_xy = np.array(enlarged.shape[1::-1]) / image.shape[1::-1]
        prompts: list[dict[str, Any]] = []
        for mask in masks[:OBJECTS]:
            point = central_point(mask) * scale_xy
            prompts += [
                {"points_xy": [point], "point_labels": [1]},
                {"box_xyxy": bounding_box(mask) * np.tile(scale_xy, 2)},
            ]
        data = pack(enlarged)
        full = decode(data, half=False)
        expected = predictor.embed(full)
        half = predictor.embed(decode(data, half=True))
        half = dataclasses.replace(half, size_hw=expected.size_hw)
        halved += agreements(predictor, expected, half, prompts)
        noise = np.random.default_rng(number).integers(-1, 2, full.shape, np.int8)
        noisy_image = np.clip(full + noise.astype(np.int16), 0, 255).astype(np.uint8)
        noisy += agreements(predictor, expected, predictor.embed(noisy_image), prompts)
    return float(np.mean(halved)), float(np.mean(noisy))


def median_ms(function: Callable[[], object], turns: int) -> float:
    """Return the median of some runs in milliseconds."""
    seconds = []
    for _ in range(turns):
        started = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - started)
    return 1000 * float(np.median(seconds))


def describe_times(data: NDArray[np.uint8], turns: int) -> str:
    """Time what comes before the official encoder, in full and at half scale."""
    full, half = decode(data, half=False), decode(data, half=True)
    size_hw = resized_hw((full.shape[0], full.shape[1]), SIZES["vit_t"].input_size)
    steps: list[tuple[str, Callable[[], object]]] = [
        ("decode", lambda: decode(data, half=False)),
        ("resize", lambda: resize_bilinear(full, size_hw)),
        (
            "(Pillow)",
            lambda: Image.fromarray(full).resize(size_hw[::-1], Image.Resampling.BILINEAR),
        ),
        ("at half scale: decode", lambda: decode(data, half=True)),
        ("resize", lambda: resize_bilinear(half, size_hw)),
    ]
    return "   ".join(f"{name} {median_ms(step, turns):.1f}" for name, step in steps) + " ms"


def main(arguments: list[str] | None = None) -> int:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--coco", type=Path, help="instances.json; its images in images/ beside it")
    parser.add_argument("--images", type=int, default=30)
    parser.add_argument("--ratios", type=float, nargs="+", default=[2, 3, 4])
    parser.add_argument("--turns", type=int, default=7)
    options = parser.parse_args(arguments)

    rng = np.random.default_rng(0)
    for width, height in TIMED_SIZES_WH[: 1 + options.turns // 2]:
        noise = cv2.GaussianBlur(rng.integers(0, 256, (height, width, 3), np.uint8), (0, 0), 3)
        data = pack(cv2.normalize(noise, None, 0, 255, cv2.NORM_MINMAX))
        print(f"{width} x {height}   {describe_times(data, options.turns)}")

    predictor = Predictor("demo")
    source = (
        coco_examples(options.coco, options.coco.with_name("images"))
        if options.coco
        else held_out_scenes(options.images)
    )
    examples = list(itertools.islice(source, options.images))
    for ratio in options.ratios:
        halved, noisy = compare(predictor, examples, ratio)
        print(
            f"long side {ratio:g} times the model's   mean IoU at half scale {halved:.4f}   "
            f"with noise of one grey level {noisy:.4f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
