"""A mask as run lengths."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class MaskRuns(NamedTuple):
    """Run-length encoding of a mask, row-major: kilobytes instead of megabytes.

    `edges` is (N + 1,) int32: the first pixel of each run, and the number of all pixels.
    `begins_true` says whether the first run is on the object; runs alternate from there.
    `size_hw` is the mask's height and width in pixels.
    """

    edges: NDArray[np.int32]
    begins_true: bool
    size_hw: tuple[int, int]

    def any(self) -> bool:
        """Whether any pixel is on the object."""
        return self.begins_true or self.edges.size > 2
