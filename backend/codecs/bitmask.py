"""Label Studio's bitmask: masks to the `imageDataURL` of a bitmask region, and back.

The URL holds a PNG of the image's size, as the editor's canvas writes it: RGBA, black, and opaque
on the object. The editor itself looks at nothing but alpha: it fills what is opaque with the
label's colour (Label Studio 1.23, `BitmaskRegion.jsx`: `composeMask`, `getImageSnapshotCanvas`).
"""

import io
import re
from base64 import b64decode, b64encode

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from backend.codecs.masks import require_mask, require_size
from backend.core.errors import BitmaskError, MaskShapeError

PREFIX = "data:image/png;base64,"
# The largest canvas that Chromium makes, so the largest that the editor can draw on.
MAX_PIXELS = 2**28
MAX_SIDE_PX = 1_000_000  # libpng writes none larger
# Of each row what differs from the one above: smaller than zlib's best, in a fifth of the time.
PNG_OPTIONS = (
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE),
)
# The size is compared with the region's; Pillow's own bound is one for the process.
Image.MAX_IMAGE_PIXELS = None


def encode_bitmask(mask: NDArray[np.bool_]) -> str:
    """Pack a mask into the data URL that a Label Studio bitmask region stores.

    Args:
        mask: (H, W), True on the object, in pixels of the image as displayed (EXIF applied).

    Raises:
        MaskShapeError: the mask is not 2-D, not bool, has a side of 0 or beyond a million pixels,
            or more than 2 ** 28 pixels.
    """
    require_mask(mask)
    _check_pixels(*mask.shape)
    pixels = np.zeros((*mask.shape, 4), np.uint8)
    np.multiply(mask, 255, out=pixels[:, :, 3], dtype=np.uint8)
    return PREFIX + b64encode(cv2.imencode(".png", pixels, PNG_OPTIONS)[1].tobytes()).decode()


def decode_bitmask(
    image_data_url: str, height: int, width: int, *, threshold: int = 127
) -> NDArray[np.bool_]:
    """Unpack the `imageDataURL` of a bitmask region, whoever wrote it: this module or a browser.

    The rim of what was drawn or erased by hand is antialiased; the default threshold cuts it in
    the middle. A PNG without transparency is all object, as the editor draws it.

    Args:
        image_data_url: the region's `imageDataURL`.
        height: the region's original_height, in pixels.
        width: the region's original_width, in pixels.
        threshold: pixels whose alpha is greater, of 0-255, are the object.

    Returns:
        (height, width), True on the object.

    Raises:
        MaskShapeError: height or width is less than 1 or beyond a million, or they are more than
            2 ** 28 pixels.
        BitmaskError: not the data URL of a PNG, one that is cut short or damaged, or one of
            another size. Nothing is decompressed before its size is known to be the region's.
    """
    require_size(height, width)
    _check_pixels(height, width)
    data = _png(image_data_url)
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
            _check_size(picture, height, width)
            rgba = picture if picture.mode == "RGBA" else picture.convert("RGBA")
            return np.asarray(rgba.getchannel("A")) > threshold
    except BitmaskError:
        raise
    except Exception as error:  # Pillow's decoders raise whatever damaged bytes lead them to
        raise _damaged(f"its PNG of {len(data)} bytes cannot be decoded") from error


def _check_pixels(height: int, width: int) -> None:
    if height * width > MAX_PIXELS or max(height, width) > MAX_SIDE_PX:
        raise MaskShapeError(
            f"a mask of {height} x {width} has more than {MAX_PIXELS} pixels or a side beyond "
            f"{MAX_SIDE_PX}, more than a canvas of the editor",
            remedy="give a smaller mask",
        )


def _check_size(picture: Image.Image, height: int, width: int) -> None:
    if picture.size != (width, height):
        raise BitmaskError(
            f"bitmask is of another size: expected {height} x {width} pixels, "
            f"its PNG has {picture.height} x {picture.width}",
            remedy="give the region's own original_height and original_width",
        )


def _png(image_data_url: str) -> bytes:
    if not isinstance(image_data_url, str):
        raise _damaged(f"expected a data URL, got {type(image_data_url).__name__}")
    if not image_data_url.startswith(PREFIX):
        raise _damaged(f"expected {PREFIX}..., got {image_data_url[:40]!r}")
    # Browsers read over line breaks too, which some encoders put in.
    text = re.sub(r"\s+", "", image_data_url[len(PREFIX) :])
    try:
        return b64decode(text, validate=True)
    except ValueError as error:
        raise _damaged(f"not base64 after {PREFIX} ({error})") from None


def _damaged(message: str) -> BitmaskError:
    return BitmaskError(
        f"bitmask is damaged: {message}",
        remedy="draw or predict the region again, or restore it from a backup",
    )
