"""An object that is small in a large image: a generated scene in the middle of grey."""

import numpy as np
import pytest

from mobilesam.scenes import generate_scene

LARGE_HW = (900, 1200)
AT_XY = (613, 417)  # of the scene's corner
SCENE_SIDE = 256


@pytest.fixture(scope="session")
def large_image():
    """(900, 1200, 3): the scene at AT_XY, grey around it."""
    return _placed(generate_scene(10_000_000).image, np.full((*LARGE_HW, 3), 127, np.uint8))


@pytest.fixture(scope="session")
def large_mask():
    """(900, 1200): one of the scene's objects."""
    return _placed(generate_scene(10_000_000).masks[0], np.zeros(LARGE_HW, np.bool_))


def _placed(part, whole):
    x, y = AT_XY
    whole[y : y + SCENE_SIDE, x : x + SCENE_SIDE] = part
    return whole
