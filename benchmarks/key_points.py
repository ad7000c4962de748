"""A click as Label Studio sends it, for benchmarks and tests."""

from typing import Any


def key_point(xy: tuple[float, float], size_hw: tuple[int, int]) -> dict[str, Any]:
    """Make the region that Label Studio sends for a positive click with `LABELING_CONFIG`.

    Args:
        xy: the click, in pixels of the image as displayed.
        size_hw: the image's height and width in pixels.
    """
    height, width = size_hw
    return {
        "id": "click",
        "type": "keypointlabels",
        "from_name": "point",
        "to_name": "image",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "is_positive": True,
        "value": {
            "x": 100 * xy[0] / width,
            "y": 100 * xy[1] / height,
            "keypointlabels": ["Object"],
        },
    }
