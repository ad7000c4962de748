"""Rings of masks: exact along pixels' edges, valid for shapely, and what pycocotools fills."""

import cv2
import numpy as np
import pytest
import shapely
from filled_polygons import polygons_mask
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from backend.codecs import polygons, slits
from backend.codecs.polygons import SLIT_PX, mask_polygons
from backend.core.errors import MaskShapeError

TOLERANCES_PX = st.sampled_from([0.5, 1.0, 2.0, 3.7])


@st.composite
def masks(draw):
    """Noise of any density, as it is or in larger blocks, with clean pixels set on top."""
    coarse = draw(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=14)))
    return np.kron(coarse, np.ones(draw(st.tuples(*[st.integers(1, 4)] * 2)), bool))


@st.composite
def smooth_masks(draw):
    """What masks of a model look like: blurred noise, cut."""
    seed, blur_px = draw(st.integers(0, 2**32 - 1)), draw(st.floats(0.8, 5))
    noise = np.random.default_rng(seed).random((50, 60))
    blurred = cv2.GaussianBlur(noise, (0, 0), blur_px)
    return blurred > np.quantile(blurred, draw(st.floats(0.1, 0.9)))


def drawn(picture):
    return np.array([[pixel == "#" for pixel in row] for row in picture.split()])


def ring_area(ring):
    return shapely.Polygon(ring).area


SHAPES = {
    "pixel": drawn("#"),
    "full": drawn("#### #### ####"),
    "row": drawn("...... .####. ......"),
    "column-at-the-border": drawn("..# ..# ..#"),
    "hole": drawn("#### #..# #..# ####"),
    "hole-of-a-pixel": drawn("### #.# ###"),
    "two-holes": drawn("####### #.#.#.# #######"),
    "hole-in-island-in-hole": drawn("####### #.....# #.###.# #.#.#.# #.###.# #.....# #######"),
    "touching-at-a-corner": drawn("##.. ##.. ..## ..##"),
    "touching-itself": drawn("### #.# ##. ###"),
    "hole-touching-the-outside": drawn("#### #..# #..# ###."),
    "holes-touching": drawn("##### #.### ##.## #####"),
    "checkerboard": drawn("#.#.# .#.#. #.#.#"),
    "bordering-everywhere": drawn("#.# ... #.#"),
}
SHAPE = pytest.mark.parametrize("mask", SHAPES.values(), ids=SHAPES)


@SHAPE
def test_rings_without_tolerance_fill_exactly_the_mask(mask):
    rings = mask_polygons(mask, tolerance_px=0)
    np.testing.assert_array_equal(polygons_mask(rings, mask.shape), mask)


@given(st.one_of(masks(), smooth_masks()))
def test_rings_of_any_mask_fill_exactly_the_mask(mask):
    rings = mask_polygons(mask, tolerance_px=0)
    np.testing.assert_array_equal(polygons_mask(rings, mask.shape), mask)
    assert sum(map(ring_area, rings)) == pytest.approx(mask.sum(), abs=SLIT_PX * mask.size)


@given(st.one_of(masks(), smooth_masks()), st.one_of(st.just(0.0), TOLERANCES_PX))
@example(drawn("#####. #.#..# #..#.# ##.#.# .#####"), 1.0)
def test_rings_never_touch_themselves_or_each_other(mask, tolerance_px):
    rings = mask_polygons(mask, tolerance_px=tolerance_px)
    filled = [shapely.Polygon(ring) for ring in rings]
    assert all(polygon.is_valid for polygon in filled)
    assert shapely.MultiPolygon(filled).is_valid
    # In percent too, as Label Studio stores them.
    percent = [shapely.Polygon(ring / mask.shape[::-1] * 100) for ring in rings]
    assert all(polygon.is_valid for polygon in percent)


@given(st.one_of(masks(), smooth_masks()))
def test_there_is_a_ring_for_each_part_the_largest_first(mask):
    rings = mask_polygons(mask, tolerance_px=0)
    stats = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)[2]
    pixels = np.sort(stats[1:, cv2.CC_STAT_AREA])[::-1] if mask.any() else []
    areas = [ring_area(ring) for ring in rings]
    np.testing.assert_allclose(areas, pixels, atol=SLIT_PX * mask.size)


@pytest.mark.parametrize(
    ("mask", "ring"),
    [
        pytest.param("#", [(0, 0), (1, 0), (1, 1), (0, 1)], id="pixel"),
        pytest.param("... .## .#.", [(1, 1), (3, 1), (3, 2), (2, 2), (2, 3), (1, 3)], id="angle"),
    ],
)
def test_ring_goes_around_pixels_and_is_not_closed(mask, ring):
    [got] = mask_polygons(drawn(mask), tolerance_px=0)
    assert got.dtype == np.float64
    np.testing.assert_array_equal(got, ring)


def test_empty_mask_has_no_ring():
    assert mask_polygons(np.zeros((4, 5), bool), tolerance_px=1) == []
    assert not polygons_mask([], (4, 5)).any()


@given(smooth_masks(), TOLERANCES_PX)
def test_outline_moves_no_more_than_the_tolerance(mask, tolerance_px):
    rings = mask_polygons(mask, tolerance_px=tolerance_px)
    outline = shapely.unary_union(
        [shapely.LinearRing(ring) for ring in mask_polygons(mask, tolerance_px=0)]
    )
    for ring in rings:
        moved = shapely.distance(outline, shapely.points(ring))
        assert moved.max() <= 2 * SLIT_PX  # a slit's corners, on their grid
    kept = shapely.unary_union([shapely.LinearRing(ring) for ring in rings])
    largest = mask_polygons(mask, tolerance_px=0)[0]
    shell = shapely.Polygon(shapely.Polygon(largest).buffer(0.01).exterior)  # its slits closed
    assert (
        shapely.distance(kept, shapely.points(shell.exterior.coords)).max() <= tolerance_px + 0.02
    )


@given(smooth_masks(), TOLERANCES_PX)
def test_pixels_that_change_lie_at_the_outline_or_in_what_was_left_out(mask, tolerance_px):
    filled = polygons_mask(mask_polygons(mask, tolerance_px=tolerance_px), mask.shape)
    outside = cv2.distanceTransform(np.pad(~mask, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    inside = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    # Centres are half a pixel from the edge, and holes without depth may be any length.
    depth = np.maximum(inside, outside)
    assert (depth[filled != mask] <= tolerance_px + 1.5).all()


@given(st.one_of(masks(), smooth_masks()).filter(np.any), TOLERANCES_PX)
def test_slits_to_holes_cost_no_pixel(mask, tolerance_px):
    for part in polygons._simplified(polygons._parts(mask), tolerance_px):
        shapes = (part.exterior, *part.interiors, slits.open_holes(part).exterior)
        outer, *holes, opened = (
            polygons_mask([shapely.get_coordinates(shape)[:-1]], mask.shape) for shape in shapes
        )
        np.testing.assert_array_equal(opened, outer & ~np.any([*holes, opened & False], axis=0))


def test_many_holes_are_joined_to_one_ring():
    mask = np.ones((61, 81), bool)
    mask[3:-3:6, 3:-3:6] = False
    [ring] = mask_polygons(mask, tolerance_px=0)
    np.testing.assert_array_equal(polygons_mask([ring], mask.shape), mask)


@pytest.mark.parametrize(
    ("tolerance_px", "areas"),
    [
        pytest.param(0, [400, 9, 3], id="none"),
        pytest.param(0.5, [400, 9], id="half-a-pixel"),
        pytest.param(1.5, [404], id="larger-than-part-and-hole"),
        pytest.param(50, [404], id="larger-than-all"),
    ],
)
def test_parts_and_holes_without_depth_vanish_but_never_the_largest(tolerance_px, areas):
    mask = np.zeros((40, 60), bool)
    mask[2:22, 3:23] = True
    mask[10:12, 10:12] = False  # 404 - 4
    mask[22, 3:7] = True
    mask[30:33, 30:33] = True
    mask[36, 40:43] = True
    rings = mask_polygons(mask, tolerance_px=tolerance_px)
    assert len(rings) == len(areas)
    if tolerance_px < 1:
        assert [round(ring_area(ring)) for ring in rings] == areas
    else:
        assert ring_area(rings[0]) == pytest.approx(areas[0], rel=0.1 if tolerance_px < 9 else 0.6)


def test_line_of_one_pixel_stays_if_it_is_all_there_is():
    mask = np.zeros((9, 30), bool)
    mask[4, 2:28] = True
    [ring] = mask_polygons(mask, tolerance_px=2)
    assert 0 < ring_area(ring) <= 26


def test_straight_lines_need_few_points():
    y, x = np.mgrid[:300, :400]
    mask = (np.abs(x - 200) + 2 * np.abs(y - 150)) < 190
    exact, simplified = (mask_polygons(mask, tolerance_px=px)[0] for px in (0, 1))
    assert len(exact) > 300
    assert len(simplified) <= 8
    assert ring_area(simplified) == pytest.approx(mask.sum(), rel=0.01)


@pytest.mark.parametrize(
    "mask",
    [
        pytest.param(np.zeros((4, 6), np.uint8), id="not-bool"),
        pytest.param(np.zeros((1, 4, 6), bool), id="not-2d"),
    ],
)
def test_array_that_is_no_mask_is_refused(mask):
    with pytest.raises(MaskShapeError):
        mask_polygons(mask, tolerance_px=0)


def test_ten_thousand_holes_are_on_one_ring_that_fills_the_mask():
    mask = np.ones((302, 302), bool)
    mask[1:-1:3, 1:-1:3] = False
    [ring] = mask_polygons(mask, tolerance_px=0)
    assert shapely.Polygon(ring).is_valid
    np.testing.assert_array_equal(polygons_mask([ring], mask.shape), mask)
