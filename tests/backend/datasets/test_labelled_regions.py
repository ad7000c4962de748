import pytest
from recordings import recording

from backend.core.errors import RegionError
from backend.datasets.labelled_regions import LabelledRegion, read_regions

RECTANGLE = {
    "id": "a",
    "type": "rectanglelabels",
    "from_name": "box",
    "to_name": "image",
    "original_width": 60,
    "original_height": 40,
    "value": {"x": 1, "y": 2, "width": 3, "height": 4, "rectanglelabels": ["Cat"]},
}


def recorded(name):
    tasks = recording(name)
    return [list(read_regions(task["annotations"][0]["result"])) for task in tasks]


@pytest.mark.parametrize("name", ["export_shapes_own", "export_shapes_shared"])
def test_every_shape_is_read_with_its_label(name):
    regions, empty = recorded(name)
    assert [(region.shape, region.labels) for region in regions] == [
        ("brush", ("Cat",)),
        ("bitmask", ("Dog",)),
        ("polygon", ("Cat",)),
        ("rectangle", ("Dog",)),
        ("ellipse", ("Cat",)),
        ("keypoint", ("Dog",)),
    ]
    assert {region.size_hw for region in regions} == {(40, 60)}
    assert not any(region.is_prompt for region in regions)
    assert empty == []


def test_score_of_a_region_is_kept():
    assert {region.score for regions in recorded("export_brush") for region in regions} == {0.9}


def test_click_that_was_saved_with_the_annotation_is_a_prompt():
    body = recording("kp_empty_result")["body"]
    [point] = read_regions(body["tasks"][0]["annotations"][0]["result"])
    assert point.is_prompt


def test_region_with_several_labels_has_all_of_them():
    labels = {"id": "a", "type": "labels", "value": {"labels": ["Dog", "Cat"]}}
    [region] = read_regions([{**RECTANGLE}, labels])
    assert region.labels == ("Cat", "Dog")


def test_region_knows_its_page_and_what_it_was_imported_with():
    [region] = read_regions([{**RECTANGLE, "item_index": 1, "meta": {"coco": {"iscrowd": 1}}}])
    assert isinstance(region, LabelledRegion)
    assert (region.item_index, region.coco) == (1, {"iscrowd": 1})


def test_choices_and_relations_are_no_regions():
    choice = {"id": "c", "type": "choices", "value": {"choices": ["good"]}}
    relation = {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right"}
    assert list(read_regions([choice, relation])) == []


@pytest.mark.parametrize(
    ("results", "words"),
    [
        pytest.param(None, "no list", id="no-list"),
        pytest.param([7], "number 1", id="number"),
        pytest.param([{"id": "a", "type": "brush"}], "brush 'a' has no value", id="no-value"),
        pytest.param([{**RECTANGLE, "original_width": None}], "width None", id="no-width"),
        pytest.param([{**RECTANGLE, "original_height": 0}], "height 0", id="no-height"),
        pytest.param([{**RECTANGLE, "original_height": 10**9}], "height 10", id="absurd-height"),
    ],
)
def test_result_that_is_no_region_is_an_error_beside_the_others(results, words):
    found = list(read_regions(results))
    [fault] = [item for item in found if isinstance(item, RegionError)]
    assert words in str(fault)
    if results is not None:
        others = list(read_regions([*results, {**RECTANGLE, "id": "b"}]))
        assert isinstance(others[-1], LabelledRegion)
