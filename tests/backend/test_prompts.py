import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recordings import recorded_requests, recording

from backend.errors import LabelingConfigError, PromptError, RequestError
from backend.labeling_config import parse_labeling_config
from backend.prompts import Point, Prompt, Rectangle, read_prompts

CONFIG = parse_labeling_config(
    """<View><Image name="image" value="$image"/><Image name="other" value="$other"/>
    <BrushLabels name="brush" toName="image,other"><Label value="Cat"/></BrushLabels>
    <KeyPointLabels name="keypoint" toName="image,other"><Label value="Cat"/></KeyPointLabels>
    <RectangleLabels name="rectangle" toName="image"><Label value="Cat"/></RectangleLabels>
    <RectangleLabels name="plain" toName="image" smart="false"/>
    <Labels name="labels" toName="image"><Label value="Cat"/></Labels>
    <KeyPoint name="kp" toName="image"/><Rectangle name="rect" toName="image"/></View>"""
)


def clicks(*positive, negative=(), labels=("Cat",), item_index=None, image_rotation=0):
    """A prompt of points (x, y) in percent."""
    points = [Point(*xy, is_positive=True) for xy in positive]
    points += [Point(*xy, is_positive=False) for xy in negative]
    return Prompt("image", item_index, labels, image_rotation, tuple(points))


def drag(region_id, sides, rotation=0.0):
    """A prompt of one rectangle (x, y, width, height) in percent of an image of 4:3."""
    rectangle = Rectangle(*sides, rotation, 4 / 3, f"region {region_id!r}")
    return Prompt("image", None, ("Cat",), 0, rectangle=rectangle)


# What each recorded request asks for.
RECORDED = {
    "kp_1_positive": [clicks((50.049950049950056, 39.94338994338994))],
    "kp_2_positive": [
        clicks((50.049950049950056, 39.94338994338994), (60.03996003996005, 45.004995004995))
    ],
    "kp_2_positive_1_negative": [
        clicks(
            (50.049950049950056, 39.94338994338994),
            (60.03996003996005, 45.004995004995),
            negative=[(39.96003996003996, 60.05661005661006)],
        )
    ],
    "kp_after_accept": [clicks((29.970029970029966, 29.95337995337995))],
    "kp_after_plain_kp": [clicks((70.02997002997003, 70.04662004662005), labels=("Dog",))],
    "kp_after_reject": [clicks((29.970029970029966, 29.95337995337995))],
    "kp_autoaccept_second": [clicks((70.02997002997003, 29.95337995337995))],
    "kp_empty_result": [],
    "kp_exif_orientation_6": [clicks((24.937965260545905, 10.049627791563276))],
    "kp_external_url": [clicks((49.9586435070306, 30.024813895781637))],
    "kp_image_rotated_90": [
        clicks((23.976023976023978, 54.94505494505495), image_rotation=90),
    ],
    "kp_inside_accepted_mask_ctrl": [clicks((50.049950049950056, 39.94338994338994))],
    "kp_labels_tag": [clicks((50.049950049950056, 39.94338994338993))],
    "kp_multi_image_page_2": [
        clicks((29.939627049405143, 30.024813895781637), item_index=1),
    ],
    "kp_no_labels": [clicks((50.04945598417409, 40.042861852950864), labels=())],
    "kp_on_annotated_task": [clicks((24.97502497502497, 60.05661005661006))],
    "kp_other_label": [clicks((70.02997002997003, 29.95337995337995), labels=("Dog",))],
    "kp_s3": [clicks((50.0, 40.0))],
    "kp_then_rect": [
        drag(
            "aFMmeP50ZQ",
            (29.970029970029966, 29.95337995337995, 30.069930069930084, 40.0932400932401),
        )
    ],
    "kp_with_draft": [
        clicks((29.970029970029966, 29.95337995337995), (50.049950049950056, 50.06660006660007))
    ],
    "kp_with_draft_brush": [clicks((80.01998001998003, 29.95337995337995))],
    "predict_batch": [],
    "predict_local_files_basic_auth": [],
    "predict_open_data_manager": [],
    "predict_open_task": [],
    "predict_s3": [],
    "predict_test_request": [],
    "rect_1": [
        drag(
            "_gMeq3aHTK",
            (29.970029970029966, 29.95337995337995, 30.069930069930084, 40.0932400932401),
        )
    ],
    "rect_2_same_label": [
        drag(
            "_gMeq3aHTK",
            (29.970029970029966, 29.95337995337995, 30.069930069930084, 40.0932400932401),
        ),
        drag(
            "Be5Sz9an9Y",
            (65.03496503496504, 19.963369963369956, 24.97502497502498, 30.10323010323011),
        ),
    ],
    # The first is the plain one; nothing in it says so.
    "rect_after_plain_rect": [
        drag(
            "ya0_4cgfOW",
            (9.990009990009986, 9.973359973359965, 9.99000999000999, 9.990009990009991),
        ),
        drag(
            "WC4Zzg5Zu2",
            (39.96003996003996, 39.94338994338994, 20.079920079920093, 30.10323010323011),
        ),
    ],
    "rect_moved": [
        drag(
            "nkkDXnMiQu",
            (39.96003996003996, 39.94338994338995, 30.069930069930084, 40.0932400932401),
        )
    ],
    "rect_resized": [
        drag(
            "nkkDXnMiQu",
            (39.960039960040014, 39.943389943389974, 35.06493506493506, 33.966033966033955),
        )
    ],
    "rect_rotated": [
        drag(
            "O3HNo0lGyZ",
            (38.80799703055416, 24.925552204347895, 20.079920079920107, 30.103230103230167),
            rotation=37.085835490951865,
        )
    ],
    "rect_then_kp": [clicks((80.01998001998003, 50.06660006660007))],
    "rect_three_point": [
        drag(
            "xXAoGjtYRL",
            (29.970029970029966, 39.94338994338994, 21.432238775761597, 32.8603447166372),
            rotation=339.5377284765778,
        )
    ],
}


def recorded(name):
    body = recording(name)["body"]
    context = body["params"]["context"] or {"result": []}  # null: a task was opened, or a batch
    return context["result"], parse_labeling_config(body["label_config"])


@pytest.mark.parametrize("name", recorded_requests("/predict"))
def test_recorded_request_gives_its_prompts(name):
    assert read_prompts(*recorded(name)) == RECORDED[name]


def point(x=50.0, y=40.0, *, is_positive=True, **fields):
    region = {
        "id": "p",
        "from_name": "keypoint",
        "to_name": "image",
        "type": "keypointlabels",
        "value": {"x": x, "y": y, "width": 0.2, "keypointlabels": ["Cat"]},
        "is_positive": is_positive,
    }
    return region | fields


def rectangle(x=20.0, y=20.0, width=40.0, height=30.0, rotation=0, **fields):
    value = {"x": x, "y": y, "width": width, "height": height, "rotation": rotation}
    region = {
        "id": "r",
        "from_name": "rectangle",
        "to_name": "image",
        "type": "rectanglelabels",
        "value": {**value, "rectanglelabels": ["Cat"]},
        "original_width": 200,
        "original_height": 100,
    }
    return region | fields


def read(*regions):
    """Each prompt as (x, y, is_positive) of its points, and its rectangle's corner or None."""
    return [
        (
            [(point.x_pct, point.y_pct, point.is_positive) for point in prompt.points],
            prompt.rectangle and (prompt.rectangle.x_pct, prompt.rectangle.y_pct),
        )
        for prompt in read_prompts(regions, CONFIG)
    ]


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


@settings(deadline=None)
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


def test_points_of_one_label_are_one_object_per_image_and_page():
    prompts = read_prompts(
        [
            point(10.0),
            point(20.0, item_index=1),
            point(30.0, to_name="other"),
            point(40.0, value={"x": 40.0, "y": 40.0, "keypointlabels": ["Dog"]}),
            point(50.0, is_positive=False),
        ],
        CONFIG,
    )
    found = [(p.to_name, p.item_index, p.labels, len(p.points)) for p in prompts]
    assert found == [
        ("image", None, ("Cat",), 2),
        ("image", 1, ("Cat",), 1),
        ("other", None, ("Cat",), 1),
        ("image", None, ("Dog",), 1),
    ]


def test_points_refine_the_rectangle_they_lie_in():
    assert read(
        point(50.0, 45.0),
        rectangle(20.0, 20.0),
        rectangle(70.0, 20.0, 20.0),
        point(75.0, 25.0, is_positive=False),
        point(95.0, 95.0),
    ) == [
        ([(50.0, 45.0, True)], (20.0, 20.0)),
        ([(75.0, 25.0, False)], (70.0, 20.0)),
        ([(95.0, 95.0, True)], None),
    ]


def test_point_in_several_rectangles_refines_the_last():
    assert read(rectangle(20.0), rectangle(25.0), point(40.0, 30.0)) == [
        ([], (20.0, 20.0)),
        ([(40.0, 30.0, True)], (25.0, 20.0)),
    ]


def test_point_of_another_label_is_an_object_of_its_own():
    dog = point(value={"x": 30.0, "y": 30.0, "keypointlabels": ["Dog"]})
    assert read(rectangle(), dog) == [([], (20.0, 20.0)), ([(30.0, 30.0, True)], None)]


def test_negative_points_outside_refine_the_last_rectangle():
    assert read(rectangle(20.0), rectangle(25.0), point(95.0, 95.0, is_positive=False)) == [
        ([], (20.0, 20.0)),
        ([(95.0, 95.0, False)], (25.0, 20.0)),
    ]


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


@pytest.mark.parametrize("shape_first", [True, False])
def test_shape_gets_the_label_that_comes_as_a_second_region_of_its_id(shape_first):
    """What Label Studio 1.23.2 sends for <Labels> + <Rectangle smart>: the shape has no label."""
    sides = {"x": 20.0, "y": 20.0, "width": 40.0, "height": 40.0, "rotation": 0}
    shape = rectangle(type="rectangle", from_name="rect", value=sides)
    label = rectangle(type="labels", from_name="labels", value={**sides, "labels": ["Cat"]})
    [prompt] = read_prompts([shape, label] if shape_first else [label, shape], CONFIG)
    assert prompt.labels == ("Cat",)


def test_regions_without_id_do_not_share_their_labels():
    shape = without(rectangle(type="rectangle", from_name="rect"), "id")
    shape["value"] = without(shape["value"], "rectanglelabels")
    label = {"type": "labels", "from_name": "labels", "value": {"labels": ["Cat"]}}
    [prompt] = read_prompts([shape, label], CONFIG)
    assert prompt.labels == ()


def test_several_labels_of_one_point_are_kept():
    [prompt] = read_prompts([point(value={"x": 1, "y": 1, "keypointlabels": ["A", "B"]})], CONFIG)
    assert prompt.labels == ("A", "B")


def without(region, field):
    return {name: value for name, value in region.items() if name != field}


NO_PROMPTS = [
    pytest.param(without(point(), "is_positive"), id="plain point"),
    pytest.param(rectangle(from_name="plain"), id="control that is not smart"),
    pytest.param({"type": "brushlabels", "value": {"rle": [0]}}, id="mask"),
    pytest.param({"type": "relation", "from_id": "a", "to_id": "b"}, id="relation"),
    pytest.param({"type": "ellipselabels", "value": {"x": 1.0}}, id="ellipse"),
]


@pytest.mark.parametrize("region", NO_PROMPTS)
def test_region_that_is_no_prompt_is_left_out(region):
    assert read(region, rectangle()) == [([], (20.0, 20.0))]


@pytest.mark.parametrize("region", NO_PROMPTS)
def test_regions_that_are_no_prompts_are_refused(region):
    """An empty answer would look as if there were no object."""
    with pytest.raises(PromptError, match=rf"their types are \['{region['type']}'\]") as caught:
        read(region, region)
    assert caught.value.reason == "Only key points and rectangles of smart controls prompt"


BOXES = parse_labeling_config(
    """<View><Image name="image" value="$image"/>
    <KeyPointLabels name="keypoint" toName="image"><Label value="Cat"/></KeyPointLabels>
    <PolygonLabels name="outline" toName="image"><Label value="Cat"/></PolygonLabels>
    <RectangleLabels name="rectangle" toName="image"><Label value="Cat"/></RectangleLabels>
    </View>"""
)


def test_rectangle_that_was_an_answer_is_no_prompt_for_the_next():
    regions = [rectangle(id="accepted", score=0.9), rectangle(id="drawn")]
    [prompt] = read_prompts(regions, BOXES, output="rectangle")
    assert prompt.rectangle.region == "region 'drawn'"
    assert read_prompts(regions[:1], BOXES, output="rectangle") == []


def test_rectangle_with_a_score_prompts_where_answers_go_elsewhere():
    """It is another model's, and gets its mask."""
    regions = [rectangle(id="detected", score=0.9), rectangle(id="drawn")]
    assert len(read_prompts(regions, BOXES)) == 2


def test_shape_of_a_control_that_the_config_lacks_is_a_prompt():
    assert read(rectangle(from_name="renamed")) == [([], (20.0, 20.0))]


@pytest.mark.parametrize(
    ("region", "field"),
    [
        pytest.param("keypoint", "not an object", id="not an object"),
        pytest.param(without(point(), "type"), "type", id="no type"),
        pytest.param(without(point(), "from_name"), "from_name", id="no from_name"),
        pytest.param(without(point(), "to_name"), "to_name", id="no to_name"),
        pytest.param(without(point(), "value"), "value", id="no value"),
        pytest.param(point(value=[1, 2]), "value", id="value is a list"),
        pytest.param(point(value={"y": 1.0}), "value.x", id="no x"),
        pytest.param(point("50"), "value.x", id="x is a string"),
        pytest.param(point(True), "value.x", id="x is a boolean"),
        pytest.param(rectangle(height=None), "value.height", id="no height"),
        pytest.param(rectangle(rotation="90"), "value.rotation", id="rotation is a string"),
        pytest.param(point(is_positive=1), "is_positive", id="is_positive is a number"),
        pytest.param(point(item_index="1"), "item_index", id="item_index is a string"),
        pytest.param(point(item_index=-1), "item_index", id="item_index is negative"),
        pytest.param(point(image_rotation="90"), "image_rotation", id="image_rotation"),
        pytest.param(point(image_rotation=math.nan), "image_rotation", id="image_rotation is nan"),
        pytest.param(
            point(value={"x": 1, "y": 1, "keypointlabels": "Cat"}), "labels", id="labels is text"
        ),
        pytest.param(
            point(value={"x": 1, "y": 1, "keypointlabels": [1]}), "labels", id="label is a number"
        ),
    ],
)
def test_region_of_another_shape_is_refused_with_its_id_and_field(region, field):
    with pytest.raises(RequestError) as caught:
        read(region)
    assert field in caught.value.message
    assert field in caught.value.reason
    assert len(caught.value.reason) < 100
    assert "'p'" in caught.value.message or "'r'" in caught.value.message or region == "keypoint"


@pytest.mark.parametrize(
    ("region", "field", "reason"),
    [
        pytest.param(point(math.nan), "value.x", "Prompt's x is not between -1 and 101", id="nan"),
        pytest.param(
            point(y=math.inf), "value.y", "Prompt's y is not between -1 and 101", id="inf"
        ),
        pytest.param(
            point(10**400),
            "value.x",
            "Prompt's x is not between -1 and 101",
            id="larger than any float",
        ),
        pytest.param(
            point(384.0), "value.x", "Prompt's x is not between -1 and 101", id="pixels for percent"
        ),
        pytest.param(
            point(y=-1.5), "value.y", "Prompt's y is not between -1 and 101", id="above the image"
        ),
        pytest.param(
            rectangle(x=101.5),
            "value.x",
            "Prompt's x is not between -1 and 101",
            id="right of the image",
        ),
        pytest.param(
            rectangle(width=95.0),
            "value.width",
            "Prompt's width is not between 0 and 81",
            id="over the right edge",
        ),
        pytest.param(
            rectangle(height=-10.0),
            "value.height",
            "Prompt's height is not between 0 and 81",
            id="negative height",
        ),
        pytest.param(
            rectangle(rotation=math.nan),
            "value.rotation",
            "Prompt's rotation is not between -1e+06 and 1e+06",
            id="rotation is nan",
        ),
        pytest.param(
            rectangle(x=math.inf, rotation=10),
            "value.x",
            "Prompt's x is not between -1e+06 and 1e+06",
            id="turned, infinitely far",
        ),
        pytest.param(rectangle(width=0), "no area", "Rectangle has no area", id="no width"),
        pytest.param(
            rectangle(height=0.0, rotation=10), "no area", "Rectangle has no area", id="no height"
        ),
        pytest.param(
            rectangle(width=1e-300), "no area", "Rectangle has no area", id="hardly a width"
        ),
        pytest.param(
            rectangle(x=0.0, height=1e-300, rotation=10),
            "no area",
            "Rectangle has no area",
            id="hardly a height",
        ),
        pytest.param(
            point(to_name="picture"),
            "to_name",
            "Prompt names an unknown Image tag",
            id="no such image",
        ),
    ],
)
def test_prompt_that_cannot_be_placed_is_refused_with_its_id_and_field(region, field, reason):
    with pytest.raises(PromptError, match=f"region '{region['id']}'.*{field}") as caught:
        read(region)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param(["Cat"] * 101, id="many"),
        pytest.param(["Cat" * 4000], id="long"),
    ],
)
def test_labels_beyond_their_bounds_are_refused(labels):
    with pytest.raises(PromptError, match=r"region 'p' has .* labels") as caught:
        read(point(value={"x": 1, "y": 1, "keypointlabels": labels}))
    assert caught.value.reason == "Prompt has too many labels"


@pytest.mark.parametrize("depth", [1, 500, 1000])
def test_id_that_is_no_text_is_not_read_however_deep_it_is(depth):
    """Beyond Python's recursion limit, the text of nested lists cannot be made."""
    nested = []
    for _ in range(depth):
        nested = [nested]
    assert read(point(id=nested)) == read(point())


def test_region_without_id_is_named_by_its_place():
    with pytest.raises(PromptError, match=r"region 1: value\.x"):
        read(point(), without(point(200.0), "id"))


def test_image_size_that_makes_no_sense_is_not_used():
    for width, height in ((0, 100), (200, 0), ("200", 100), (10**400, 1), (math.nan, 100)):
        region = rectangle(original_width=width, original_height=height)
        [prompt] = read_prompts([region], CONFIG)
        assert prompt.rectangle.image_aspect == 1.0


def test_no_region_is_no_prompt_whatever_the_config():
    bare = parse_labeling_config('<View><Image name="image" value="$image"/></View>')
    assert read_prompts([], bare) == []


def test_prompt_without_a_control_for_it_is_refused():
    bare = parse_labeling_config('<View><Image name="image" value="$image"/></View>')
    with pytest.raises(LabelingConfigError) as caught:
        read_prompts([point()], bare)
    assert (
        caught.value.reason == "No smart KeyPointLabels or RectangleLabels in the labeling config"
    )
