import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_masks
from recordings import recording

from backend.codecs.brush import encode_brush
from backend.codecs.coco_rle import fill_rings
from backend.core.errors import MaskError, RegionError
from backend.datasets.labelled_regions import read_regions
from backend.datasets.region_shapes import key_point_xy, region_ring, region_rle

SIZE_HW = (40, 60)


def region(shape, value, size_hw=SIZE_HW):
    height, width = size_hw
    result = {
        "id": "r",
        "type": shape,
        "original_height": height,
        "original_width": width,
        "value": value,
    }
    [found] = read_regions([result])
    return found


def rectangle(x, y, width, height, rotation=0):
    return {"x": x, "y": y, "width": width, "height": height, "rotation": rotation}


def mask_of(found, alpha=127, max_pixels=10**8):
    return coco_masks.decode(region_rle(found, alpha=alpha, max_pixels=10**8)).astype(bool)


def test_ring_keeps_its_hole_and_its_second_part():
    """The region of which Label Studio's own export makes two and fills the hole."""
    task = recording("export_ring")[0]
    [ring] = read_regions(task["annotations"][0]["result"])
    mask = mask_of(ring)
    assert mask.sum() == 40_000
    assert not mask[150:250, 150:250].any()


@pytest.mark.parametrize(
    ("alpha", "pixels"),
    [pytest.param(127, 2069, id="middle-of-the-edge"), pytest.param(0, 2316, id="whole-edge")],
)
def test_antialiased_stroke_is_cut_at_alpha(alpha, pixels):
    results = recording("result_hand_brush_and_erased_mask")
    stroke, _erased = read_regions(results)
    assert mask_of(stroke, alpha).sum() == pixels


def test_upright_rectangle_covers_its_pixels():
    mask = mask_of(region("rectangle", rectangle(10, 25, 50, 25)))
    expected = np.zeros(SIZE_HW, bool)
    expected[10:20, 6:36] = True
    np.testing.assert_array_equal(mask, expected)


def test_rectangle_turns_clockwise_about_its_top_left_corner():
    """A quarter turn of 20 x 10 px at (30, 10): it hangs to the left of that corner."""
    mask = mask_of(region("rectangle", rectangle(50, 25, 100 / 3, 25, rotation=90)))
    expected = np.zeros(SIZE_HW, bool)
    expected[10:30, 20:30] = True
    np.testing.assert_array_equal(mask, expected)


@given(st.integers(0, 359), st.integers(5, 25), st.integers(5, 25))
def test_turned_rectangle_keeps_its_area(rotation, width_px, height_px):
    size = {"width": width_px / 2, "height": height_px / 2}
    found = region("rectangle", {"x": 50, "y": 50, **size, "rotation": rotation}, (200, 200))
    perimeter = 2 * (width_px + height_px)
    assert abs(int(mask_of(found).sum()) - width_px * height_px) <= perimeter / 2


def test_ellipse_covers_the_pixels_whose_centers_are_inside():
    upright = mask_of(region("ellipse", {"x": 50, "y": 50, "radiusX": 25, "radiusY": 25}))
    assert abs(upright.sum() - math.pi * 15 * 10) < 10
    assert upright[20, 15:45].all()
    assert not upright[20, :15].any()
    turned = mask_of(
        region("ellipse", {"x": 50, "y": 50, "radiusX": 25, "radiusY": 25, "rotation": 90})
    )
    assert turned[5:35, 30].all()
    assert not turned[20, :20].any()


def test_polygon_is_filled_as_pycocotools_does():
    points = [[10.1, 20.3], [80, 25], [44.4, 90]]
    ring = [coordinate for x, y in points for coordinate in (x * 0.6, y * 0.4)]
    expected = coco_masks.decode(coco_masks.frPyObjects([ring], *SIZE_HW)[0]).astype(bool)
    np.testing.assert_array_equal(mask_of(region("polygon", {"points": points})), expected)


@given(
    st.lists(
        st.tuples(
            st.decimals(0, 640, places=2).map(float), st.decimals(0, 480, places=2).map(float)
        ),
        min_size=3,
        max_size=8,
    )
)
def test_ring_of_imported_polygon_is_the_one_that_was_imported(points):
    percents = [[x * 100 / 640, y * 100 / 480] for x, y in points]
    ring = region_ring(region("polygon", {"points": percents}, (480, 640)))
    assert ring == [coordinate for point in points for coordinate in point]


def test_key_point_is_where_it_was_set():
    assert key_point_xy(region("keypoint", {"x": 25, "y": 75, "width": 1})) == (15.0, 30.0)


def test_rings_cover_what_any_of_them_covers():
    square, other = [0, 0, 10, 0, 10, 10, 0, 10], [5, 5, 15, 5, 15, 15, 5, 15]
    assert coco_masks.area(fill_rings([square, other], SIZE_HW)) == 175


@pytest.mark.parametrize(
    ("shape", "value", "words"),
    [
        pytest.param("brush", {}, "expected a list", id="brush-without-rle"),
        pytest.param("brush", {"rle": [1, 2]}, "header", id="brush-cut"),
        pytest.param(
            "brush", {"rle": encode_brush(np.eye(3, dtype=bool))}, "another size", id="other-size"
        ),
        pytest.param("bitmask", {}, "bitmask is damaged", id="bitmask-without-png"),
        pytest.param("polygon", {"points": [[1, 2], [3, 4]]}, "three or more", id="two-points"),
        pytest.param("polygon", {"points": "many"}, "three or more", id="no-points"),
        pytest.param(
            "polygon", {"points": [[0, 0], [1e9, 0], [0, 1]]}, "far outside", id="far-away"
        ),
        pytest.param(
            "polygon", {"points": [[0, 0], [float("nan"), 0], [0, 1]]}, "numbers", id="nan"
        ),
        pytest.param("rectangle", rectangle(1, 1, 0, 5), "no area", id="flat-rectangle"),
        pytest.param("rectangle", {"x": 1}, "not a number", id="half-a-rectangle"),
        pytest.param("rectangle", rectangle(1, 1, 1e308, 5), "far outside", id="overflow"),
        pytest.param("rectangle", rectangle(1e308, 1, 5, 5), "far outside", id="far-rectangle"),
        pytest.param("rectangle", rectangle(10**400, 1, 5, 5), "not a number", id="huge-int"),
        pytest.param(
            "polygon",
            {"points": [[900 * (i % 2), i / 1000] for i in range(100_000)]},
            "pixels long",
            id="zigzag",
        ),
        pytest.param(
            "ellipse", {"x": 1e30, "y": 1, "radiusX": 1, "radiusY": 1}, "far", id="far-ellipse"
        ),
        pytest.param(
            "ellipse", {"x": 1, "y": 1, "radiusX": 0, "radiusY": 1}, "no area", id="flat-ellipse"
        ),
    ],
)
def test_damaged_region_is_named(shape, value, words):
    with pytest.raises((RegionError, MaskError), match=words):
        region_rle(region(shape, value), alpha=127, max_pixels=10**8)


@pytest.mark.parametrize("shape", ["brush", "bitmask", "ellipse"])
def test_size_is_judged_before_anything_of_it_is_made(shape):
    huge = region(shape, {"x": 1, "y": 1, "radiusX": 1, "radiusY": 1}, (40_000, 40_000))
    with pytest.raises(MaskError, match="more than 100000000 pixels"):
        region_rle(huge, alpha=127, max_pixels=10**8)


@pytest.mark.parametrize("xy", [(1e308, 5), (1e6, -5e5), (10**400, 1), (float("nan"), 1)])
def test_key_point_that_is_nowhere_near_is_named(xy):
    with pytest.raises(RegionError):
        key_point_xy(region("keypoint", {"x": xy[0], "y": xy[1]}))
