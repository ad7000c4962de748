"""Prompts in pixels, and those that refine an object."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompting import CONFIG, point, recorded, rectangle

from backend.core.errors import PromptError
from backend.labeling.prompts import Point, Rectangle
from backend.labeling.read_prompts import read_prompts


def test_points_become_pixels_of_the_displayed_image_unrounded():
    [prompt] = read_prompts(*recorded("kp_2_positive_1_negative"))
    assert prompt.points_xy_px((576, 768)) == [
        pytest.approx((384.383616383616, 230.073926073926)),
        pytest.approx((461.106893106893, 259.228771228771)),
        pytest.approx((306.893106893107, 345.926073926074)),
    ]
    assert prompt.point_labels == [1, 1, 0]
    assert prompt.box_xyxy_px((576, 768)) is None


@pytest.mark.parametrize(
    ("name", "box"),
    [
        pytest.param(
            "rect_1",
            (230.16983016983, 172.53146853146, 461.10689310689, 403.46853146853),
            id="upright",
        ),
        pytest.param(
            "rect_rotated",
            (193.48659873654, 143.57118069704, 421.06684781691, 374.88636176050),
            id="turned about its top left corner",
        ),
        pytest.param(
            "rect_three_point",
            (230.16983016983, 172.53146853146, 450.55256671369, 407.40671295853),
            id="turned by almost a whole turn",
        ),
    ],
)
def test_rectangle_becomes_the_box_around_it(name, box):
    """The numbers come from turning the corners as complex numbers."""
    [prompt] = read_prompts(*recorded(name))
    assert prompt.box_xyxy_px((576, 768)) == pytest.approx(box)
    assert prompt.points_xy_px((576, 768)) == []


def test_rectangle_turns_clockwise_in_pixels_not_in_percent():
    """20 x 20 px, a quarter turn about (100, 20): it comes to lie on the left of that corner."""
    [prompt] = read_prompts([rectangle(50.0, 20.0, 10.0, 20.0, rotation=90)], CONFIG)
    assert prompt.box_xyxy_px((100, 200)) == pytest.approx((80, 20, 100, 40))


def test_what_rounding_puts_outside_is_clipped():
    [prompt] = read_prompts([point(-0.3, 100.4)], CONFIG)
    assert prompt.points_xy_px((100, 200)) == [(0.0, 100.0)]
    [prompt] = read_prompts([rectangle(-0.5, 90.0, 101.0, 10.5)], CONFIG)
    assert prompt.box_xyxy_px((100, 200)) == pytest.approx((0, 90, 200, 100))


def test_turned_rectangle_is_clipped_to_the_image():
    [prompt] = read_prompts([rectangle(50.0, -20.0, 20.0, 40.0, rotation=45)], CONFIG)
    box = prompt.box_xyxy_px((100, 200))
    assert box == pytest.approx((71.715728753, 0, 128.284271247, 36.568542495))


def test_turned_rectangle_outside_the_image_is_refused():
    [prompt] = read_prompts([rectangle(50.0, 150.0, rotation=45)], CONFIG)
    outside = "region 'r' lies outside the image of 200 x 100 pixels"
    with pytest.raises(PromptError, match=outside) as caught:
        prompt.box_xyxy_px((100, 200))
    assert caught.value.reason == "Rectangle lies outside the image"


@given(
    corner=st.tuples(st.floats(30, 70), st.floats(45, 55)),  # whichever way it turns, on the image
    sides=st.tuples(st.floats(1, 20), st.floats(1, 20)),
    rotation=st.floats(0, 360),
    inside=st.tuples(st.floats(0.01, 0.99), st.floats(0.01, 0.99)),
)
def test_point_placed_in_a_turned_rectangle_is_held_by_it_and_its_box(
    corner, sides, rotation, inside
):
    height, width = 100, 200
    turned = Rectangle(*corner, *sides, rotation, width / height, "region 'r'")
    u, v = inside[0] * sides[0] / 100 * width, inside[1] * sides[1] / 100 * height
    cos, sin = math.cos(math.radians(rotation)), math.sin(math.radians(rotation))
    x = corner[0] / 100 * width + u * cos - v * sin
    y = corner[1] / 100 * height + u * sin + v * cos
    assert turned.holds(Point(x / width * 100, y / height * 100, is_positive=True))
    x_min, y_min, x_max, y_max = turned.box_xyxy_px((height, width))
    assert x_min <= x <= x_max
    assert y_min <= y <= y_max


def test_only_negative_points_need_the_last_object():
    [negative] = read_prompts([point(10.0, is_positive=False)], CONFIG)
    assert negative.needs_last_object
    for regions in ([point()], [rectangle()], [point(10.0, is_positive=False), point()]):
        assert not read_prompts(regions, CONFIG)[0].needs_last_object


def test_negative_points_refine_the_last_object_once():
    """While they wait for Accept, Label Studio sends the earlier ones again."""
    [last] = read_prompts([rectangle(), point(30.0, 30.0)], CONFIG)
    sent = [point(10.0, is_positive=False), point(12.0, is_positive=False)]
    refined = last
    for count in (1, 2):
        [negative] = read_prompts(sent[:count], CONFIG)
        refined = negative.refining(refined)
    assert refined.rectangle == last.rectangle
    assert [point.x_pct for point in refined.points] == [30.0, 10.0, 12.0]
