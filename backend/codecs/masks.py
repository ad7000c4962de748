"""What the mask codecs share: their checks of masks and sizes, and where a mask's runs begin."""

import numpy as np
from numpy.typing import NDArray

from backend.core.errors import MaskShapeError


def require_mask(mask: NDArray[np.bool_]) -> None:
    """Check that an array is (H, W), of bool, and has pixels.

    Raises:
        MaskShapeError: it is not.
    """
    remedy = "give an (H, W) array of bool, such as logits > 0"
    if mask.dtype != np.bool_:
        raise MaskShapeError(f"a mask of {mask.dtype} is not one of bool", remedy=remedy)
    if mask.ndim != 2 or mask.size == 0:
        raise MaskShapeError(f"a mask of shape {mask.shape} is not (H, W)", remedy=remedy)


def require_size(height: int, width: int) -> None:
    """Check that a region's size has pixels.

    Raises:
        MaskShapeError: it has none.
    """
    if height < 1 or width < 1:
        raise MaskShapeError(
            f"a mask of height {height} and width {width} has no pixels",
            remedy="give the region's original_height and original_width",
        )


def run_edges(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Find the first pixel of every run of a mask (H, W), row by row, and the end of the last.

    Returns:
        Indices of pixels, the first of them 0 and the last H * W.
    """
    pixels = mask.ravel()
    inner = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    return np.concatenate([[0], inner, [pixels.size]]).astype(np.int32)
