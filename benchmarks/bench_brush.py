"""Brush RLE, ours beside label-studio-sdk's: `python -m benchmarks.bench_brush`.

Both sides start and end alike: encode goes from an (H, W) bool mask to a list of ints for JSON,
decode from the list that we encoded to an (H, W) bool mask. Every answer is compared with the mask.
Each side is called several times in a row, its memory and caches warm; then the other's turn.

Sizes stand beside the least that the format allows, so that it shows what nobody can reach. `--coco
instances.json` gives them in total for all masks of a COCO file: `... bench_brush --coco FILE`.
"""

import argparse
import contextlib
import io
import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from label_studio_sdk.converter.brush import decode_rle, mask2rle
from numpy.typing import NDArray
from pycocotools.coco import COCO

from backend.codecs.brush import decode_brush, encode_brush
from benchmarks.machine import describe_machine

SIZES_HW = {"1 MP": (866, 1155), "3 MP": (1500, 2000), "12 MP": (3000, 4000)}
TINY_SIZES_HW = {"tiny": (48, 64)}
WARM_UP_CALLS = 5  # until a mask of 12 MB stays in the processor's caches
CALLS_PER_TURN = 5
SMALLER_BY = 0.2  # what we would like to save of the SDK's bytes


class Sizes(NamedTuple):
    """What a mask, or many, take in the format."""

    runs: int
    ours: int  # bytes of the stream, as are the next two
    sdk: int
    least: int
    ours_json: int  # characters of the list as compact JSON
    sdk_json: int


def pixels_inside(height: int, width: int) -> NDArray[np.float64]:
    """How far each pixel lies inside a disc that covers a third of the image; (H, W), in pixels."""
    y, x = np.ogrid[:height, :width]
    return np.sqrt(height * width / 3 / np.pi) - np.hypot(y - height / 2, x - width / 2)


def simple_mask(height: int, width: int) -> NDArray[np.bool_]:
    """A disc, as the mask of a smooth object; (H, W)."""
    return pixels_inside(height, width) > 0


def ragged_mask(height: int, width: int) -> NDArray[np.bool_]:
    """The disc with a torn outline, islands outside and holes inside of it; (H, W)."""
    noise = np.random.default_rng(0).standard_normal((height, width), np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), 2)
    return pixels_inside(height, width) + noise / noise.std() * height / 40 > 0


def sdk_encode(mask: NDArray[np.bool_]) -> list[int]:
    """The SDK takes a mask of 0 and 255."""
    return mask2rle(mask.astype(np.uint8) * np.uint8(255))


def sdk_decode(rle: list[int], height: int, width: int) -> NDArray[np.bool_]:
    """The SDK gives four channels and leaves the threshold to its caller."""
    return decode_rle(rle).reshape(height, width, 4)[:, :, 3] > 127


def least_bytes(mask: NDArray[np.bool_]) -> int:
    """No list in the format is shorter that unpacks to 255 on the object and 0 elsewhere.

    Every run of n values takes 3 + 8 bits and as many as n - 1 needs, as if there were a field size
    for each, and above 65,536 values a record with 16 more. Two records in place of one cost 11
    bits more and no fewer for their fields; a literal takes 8 bits a value, of which a run has 4.
    """
    edges = np.flatnonzero(np.diff(mask.ravel())) + 1
    fields = (np.diff(edges, prepend=0, append=mask.size) * 4 - 1).tolist()
    bits = 53 + sum((field >> 16) * 27 + 11 + (field & 0xFFFF).bit_length() for field in fields)
    return math.ceil(bits / 8)


def sizes_of(mask: NDArray[np.bool_], ours: list[int], sdk: list[int]) -> Sizes:
    """Measure two lists of one mask."""
    texts = (json.dumps(rle, separators=(",", ":")) for rle in (ours, sdk))  # as Flask sends them
    runs = np.count_nonzero(np.diff(mask.ravel())) + 1
    return Sizes(runs, len(ours), len(sdk), least_bytes(mask), *map(len, texts))


def coco_masks(path: Path) -> Iterator[NDArray[np.bool_]]:
    """Decode every annotation of a COCO file."""
    with contextlib.redirect_stdout(io.StringIO()):  # it tells how it is getting on
        coco = COCO(path)
    for annotation in coco.anns.values():
        yield coco.annToMask(annotation).astype(np.bool_)


def take_turns_ms(functions: list[Callable[[], object]], turns: int) -> NDArray[np.float64]:
    """Time functions in turn, so that other load meets all of them.

    Returns:
        (functions, turns * CALLS_PER_TURN), in milliseconds.
    """
    times_ms = np.zeros((len(functions), turns, CALLS_PER_TURN))
    for turn in range(turns):
        for row, function in enumerate(functions):
            for _ in range(WARM_UP_CALLS):
                function()
            for call in range(CALLS_PER_TURN):
                start_s = time.perf_counter()
                function()
                times_ms[row, turn, call] = (time.perf_counter() - start_s) * 1e3
    return times_ms.reshape(len(functions), -1)


def measure(name: str, kind: str, mask: NDArray[np.bool_], turns: int) -> Sizes:
    """Print the rows of one mask, and return its sizes."""
    ours, sdk = encode_brush(mask), sdk_encode(mask)
    for rle in (ours, sdk):
        assert np.array_equal(decode_brush(rle, *mask.shape), mask)
        assert np.array_equal(sdk_decode(rle, *mask.shape), mask)
    sizes = sizes_of(mask, ours, sdk)
    pairs = {
        "encode": [lambda: encode_brush(mask), lambda: sdk_encode(mask)],
        "decode": [
            lambda: decode_brush(ours, *mask.shape),
            lambda: sdk_decode(ours, *mask.shape),
        ],
    }
    for direction, functions in pairs.items():
        times_ms = take_turns_ms(functions, turns)
        medians_ms = np.median(times_ms, axis=1)
        p95_ms = np.percentile(times_ms, 95, axis=1)
        ours_ms, sdk_ms = (f"{a:.2f} / {b:.2f}" for a, b in zip(medians_ms, p95_ms, strict=True))
        ratio = f"{medians_ms[1] / medians_ms[0]:.0f} x"
        cells = [name, kind, str(sizes.runs), direction, ours_ms, sdk_ms, ratio]
        print(f"| {' | '.join(cells)} |", flush=True)
    return sizes


def print_sizes(rows: dict[tuple[str, str], Sizes]) -> None:
    """Print what each mask, or all masks of a file, take: ours, the SDK's and the least."""
    print("\nbytes of the list, and characters of it as compact JSON; smaller: than the SDK's")
    print(f"least: what the format allows; in reach: whether that is {SMALLER_BY:.0%} smaller\n")
    heads = "image | mask | runs | bytes | SDK | smaller | least | smaller | in reach"
    print(f"| {heads} | JSON | SDK JSON | smaller |")
    print("|" + "---|" * 12)
    for (name, kind), sizes in rows.items():
        share, best = 1 - sizes.ours / sizes.sdk, 1 - sizes.least / sizes.sdk
        reach = "reached" if share >= SMALLER_BY else "yes" if best >= SMALLER_BY else "no"
        cells = [name, kind, sizes.runs, sizes.ours, sizes.sdk, f"{share:.1%}", sizes.least]
        cells += [f"{best:.1%}", reach, sizes.ours_json, sizes.sdk_json]
        cells += [f"{1 - sizes.ours_json / sizes.sdk_json:.1%}"]
        print(f"| {' | '.join(map(str, cells))} |")


def print_coco(path: Path) -> None:
    """Print the total of a COCO file's masks, and for how many the least is small enough."""
    sizes = []
    for mask in coco_masks(path):
        ours, sdk = encode_brush(mask), sdk_encode(mask)
        assert np.array_equal(decode_brush(ours, *mask.shape), mask)
        assert np.array_equal(sdk_decode(ours, *mask.shape), mask)
        sizes.append(sizes_of(mask, ours, sdk))
    if not sizes:
        print(f"{path} has no masks")
        return
    total = Sizes(*np.sum(sizes, axis=0).tolist())
    print_sizes({(path.name, f"all {len(sizes)}"): total})
    within = [
        sum(size[column] <= (1 - SMALLER_BY) * size.sdk for size in sizes) for column in (1, 3)
    ]
    print(
        f"\n{SMALLER_BY:.0%} smaller: {within[0]} masks; {within[1]} if every list were the least"
    )


def main() -> None:
    """Print a table with one row for each size, kind of mask and direction, and one of sizes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=4, help="turns of each side (default: 4)")
    parser.add_argument("--tiny", action="store_true", help="one small image, to see that it runs")
    parser.add_argument(
        "--coco", type=Path, metavar="FILE", help="only the sizes of this file's masks, in total"
    )
    arguments = parser.parse_args()
    if arguments.coco:
        print_coco(arguments.coco)
        return
    sizes_hw = TINY_SIZES_HW if arguments.tiny else SIZES_HW
    print(describe_machine("numpy", "label-studio-sdk"))
    calls = f"{arguments.turns} turns of {CALLS_PER_TURN} calls after {WARM_UP_CALLS} that warm up"
    print(f"milliseconds: median / 95th percentile of {calls}\n")
    print("| image | mask | runs | direction | ours | SDK | faster |")
    print("|---|---|---|---|---|---|---|")
    rows = {}
    for name, size_hw in sizes_hw.items():
        for kind, mask_of in (("simple", simple_mask), ("ragged", ragged_mask)):
            rows[name, kind] = measure(name, kind, mask_of(*size_hw), arguments.turns)
    print_sizes(rows)


if __name__ == "__main__":
    main()
