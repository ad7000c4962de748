"""Brush RLE, ours beside label-studio-sdk's: `python -m benchmarks.bench_brush`.

Both sides start and end alike: encode goes from an (H, W) bool mask to a list of ints for JSON,
decode from the list that we encoded to an (H, W) bool mask. Every answer is compared with the mask.
Each side is called several times in a row, its memory and caches warm; then the other's turn.
"""

import argparse
import importlib.metadata
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from label_studio_sdk.converter.brush import decode_rle, mask2rle
from numpy.typing import NDArray

from backend.brush import decode_brush, encode_brush

SIZES_HW = {"1 MP": (866, 1155), "3 MP": (1500, 2000), "12 MP": (3000, 4000)}
TINY_SIZES_HW = {"tiny": (48, 64)}
CALLS_PER_TURN = 5


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


def take_turns_ms(functions: list[Callable[[], object]], turns: int) -> NDArray[np.float64]:
    """Time functions in turn, so that other load meets all of them.

    Returns:
        (functions, turns * CALLS_PER_TURN), in milliseconds.
    """
    times_ms = np.zeros((len(functions), turns, CALLS_PER_TURN))
    for turn in range(turns):
        for row, function in enumerate(functions):
            function()  # warms up
            for call in range(CALLS_PER_TURN):
                start_s = time.perf_counter()
                function()
                times_ms[row, turn, call] = (time.perf_counter() - start_s) * 1e3
    return times_ms.reshape(len(functions), -1)


def print_machine(turns: int) -> None:
    """Print what the numbers depend on."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    packages = ("numpy", "label-studio-sdk")
    versions = [f"{package} {importlib.metadata.version(package)}" for package in packages]
    print(f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores")
    print(f"Python {platform.python_version()}, {', '.join(versions)}")
    calls = f"{turns} turns of {CALLS_PER_TURN} calls after one that warms up"
    print(f"milliseconds: median / 95th percentile of {calls}\n")


def measure(name: str, kind: str, mask: NDArray[np.bool_], turns: int) -> None:
    """Print the rows of one mask."""
    ours, sdk = encode_brush(mask), sdk_encode(mask)
    for rle in (ours, sdk):
        assert np.array_equal(decode_brush(rle, *mask.shape), mask)
        assert np.array_equal(sdk_decode(rle, *mask.shape), mask)
    runs = np.count_nonzero(np.diff(mask.ravel())) + 1
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
        sizes = [str(len(ours)), str(len(sdk)), f"{1 - len(ours) / len(sdk):.1%}"]
        cells = [name, kind, str(runs), direction, ours_ms, sdk_ms, ratio, *sizes]
        print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Print a table with one row for each size, kind of mask and direction."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=4, help="turns of each side (default: 4)")
    parser.add_argument("--tiny", action="store_true", help="one small image, to see that it runs")
    arguments = parser.parse_args()
    sizes_hw = TINY_SIZES_HW if arguments.tiny else SIZES_HW
    print_machine(arguments.turns)
    print("| image | mask | runs | direction | ours | SDK | faster | bytes | SDK bytes | smaller |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name, size_hw in sizes_hw.items():
        measure(name, "simple", simple_mask(*size_hw), arguments.turns)
        measure(name, "ragged", ragged_mask(*size_hw), arguments.turns)


if __name__ == "__main__":
    main()
