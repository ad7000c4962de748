import numpy as np
import pytest

from mobilesam.mask_geometry import bounding_box, central_point, intersection_over_union

MASK = np.zeros((6, 8), np.bool_)
MASK[1:4, 2:7] = True


def test_far_edges_of_the_bounding_box_are_behind_the_last_pixels():
    assert bounding_box(MASK).tolist() == [2, 1, 7, 4]


def test_central_point_is_as_far_from_the_image_border_as_from_any_other():
    assert central_point(np.ones((5, 5), np.bool_)) == (2, 2)
    x, y = central_point(MASK)
    assert y == 2
    assert 3 <= x <= 5


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        pytest.param(MASK, 1, id="itself"),
        pytest.param(~MASK, 0, id="the-rest"),
        pytest.param(np.ones_like(MASK), 15 / 48, id="everything"),
    ],
)
def test_intersection_over_union_counts_pixels(other, expected):
    assert intersection_over_union(MASK, other) == expected


def test_two_empty_masks_are_equal():
    assert intersection_over_union(MASK & ~MASK, MASK & ~MASK) == 1
