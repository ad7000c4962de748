"""Regions that are refused, each with the reason."""

import math

import pytest
from prompting import CONFIG, point, read, rectangle, without

from backend.core.errors import LabelingConfigError, PromptError, RequestError
from backend.labeling.parse_config import parse_labeling_config
from backend.labeling.read_prompts import read_prompts


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
