"""Masks without specks: small islands, small holes, and parts that nobody clicked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from backend.settings.settings import Settings


@dataclass(frozen=True)
class Cleaning:
    """What is taken from a mask, or filled in it; nothing by default.

    Parts are pixels that share sides, as polygons have them, so a hole's may also touch at corners.

    Args:
        min_island_px: parts with fewer pixels are dropped, but never the largest one.
        min_hole_px: holes with fewer pixels are filled.
        keep_clicked_parts: parts that hold no positive click are dropped, if one holds any.
    """

    min_island_px: int = 0
    min_hole_px: int = 0
    keep_clicked_parts: bool = False

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Clean as the settings say."""
        return cls(
            min_island_px=settings.min_island_px,
            min_hole_px=settings.min_hole_px,
            keep_clicked_parts=settings.keep_clicked_parts,
        )

    @property
    def is_on(self) -> bool:
        """Whether `apply` may change a mask."""
        return self.keep_clicked_parts or self.min_island_px > 1 or self.min_hole_px > 1

    def apply(
        self, mask: NDArray[np.bool_], inside_xy_px: Sequence[tuple[float, float]]
    ) -> NDArray[np.bool_]:
        """Clean a mask (H, W): clicks first, then islands, then holes.

        Args:
            mask: left as it is.
            inside_xy_px: the positive clicks.
        """
        if self.keep_clicked_parts and inside_xy_px:
            mask = _clicked_parts(mask, inside_xy_px)
        if self.min_island_px > 1:
            mask = _without_islands(mask, self.min_island_px)
        if self.min_hole_px > 1:
            mask = _without_holes(mask, self.min_hole_px)
        return mask


def _clicked_parts(
    mask: NDArray[np.bool_], inside_xy_px: Sequence[tuple[float, float]]
) -> NDArray[np.bool_]:
    _, parts = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    height, width = mask.shape
    # A click on the right or lower border of the image is on its last pixel.
    clicked = {
        int(parts[min(int(y), height - 1), min(int(x), width - 1)]) for x, y in inside_xy_px
    } - {0}
    return np.isin(parts, list(clicked)) if clicked else mask


def _without_islands(mask: NDArray[np.bool_], min_px: int) -> NDArray[np.bool_]:
    parts, sizes_px = _components(mask, connectivity=4)
    sizes_px[0] = 0  # the background
    is_kept = sizes_px >= min(min_px, sizes_px.max())
    is_kept[0] = False
    return is_kept[parts]


def _without_holes(mask: NDArray[np.bool_], min_px: int) -> NDArray[np.bool_]:
    # With a rim, all that reaches the border is one with the outside, however small.
    holes, sizes_px = _components(np.pad(~mask, 1, constant_values=True), connectivity=8)
    is_filled = sizes_px < min_px
    is_filled[holes[0, 0]] = False
    return mask | is_filled[holes[1:-1, 1:-1]]


def _components(
    mask: NDArray[np.bool_], *, connectivity: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Number the connected pixels (H, W), 0 for False, and count them: (N,)."""
    found: Any = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=connectivity)
    _, numbers, stats, _ = found
    return numbers, stats[:, cv2.CC_STAT_AREA]
