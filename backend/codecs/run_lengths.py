"""Masks as the page gets and sends them: the lengths of runs of pixels, off and on in turn.

Row by row, the first run off; quick to make here and to draw there. A square in the middle of
4 x 4 pixels is `[5, 2, 2, 2, 5]`.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from backend.codecs.masks import run_edges
from backend.core.errors import RunLengthError
from mobilesam import MaskRuns


def encode_runs(mask: NDArray[np.bool_] | MaskRuns) -> list[int]:
    """Count the runs of a mask (H, W), or of one whose runs are known; the first may be 0 long."""
    if isinstance(mask, MaskRuns):
        edges, begins_on = mask.edges, mask.begins_true
    else:
        edges, begins_on = run_edges(mask), bool(mask[0, 0])
    runs: list[int] = np.diff(edges).tolist()
    return [0, *runs] if begins_on else runs


def decode_runs(runs: Sequence[int], height: int, width: int) -> NDArray[np.bool_]:
    """Draw the runs of a mask (height, width) again.

    Raises:
        RunLengthError: they are not whole numbers that fill the mask.
    """
    require_runs(runs, height, width)
    is_on = np.arange(len(runs)) % 2 == 1
    return np.repeat(is_on, runs).reshape(height, width)


def require_runs(runs: Sequence[int], height: int, width: int) -> None:
    """Check that runs can be drawn.

    Raises:
        RunLengthError: they are not whole numbers that fill the mask.
    """
    size = height * width
    if not all(type(run) is int and 0 <= run <= size for run in runs) or sum(runs) != size:
        raise RunLengthError(
            f"the runs do not fill a mask of {width} x {height} pixels",
            remedy="send them as /playground/masks answered them",
            reason="Runs do not fill the mask",
        )
