"""Which regions prompt, and which of them are one object."""

import pytest
from prompting import CONFIG, point, read, rectangle, without

from backend.core.errors import PromptError
from backend.labeling.parse_config import parse_labeling_config
from backend.labeling.read_prompts import read_prompts


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
