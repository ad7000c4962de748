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
        pytest.param([{"id": "a", "type": "brush"}], "'a' has no value", id="no-value"),
        pytest.param([{**RECTANGLE, "original_width": None}], "original_width", id="no-width"),
        pytest.param([{**RECTANGLE, "original_height": 0}], "original_height", id="no-height"),
        pytest.param([{**RECTANGLE, "original_height": 10**9}], "original_height", id="absurd"),
    ],
)
def test_result_that_is_no_region_is_an_error_beside_the_others(results, words):
    found = list(read_regions(results))
    [fault] = [item for item in found if isinstance(item, RegionError)]
    assert words in str(fault)
    if results is not None:
        others = list(read_regions([*results, {**RECTANGLE, "id": "b"}]))
        assert isinstance(others[-1], LabelledRegion)


VECTOR = {
    **RECTANGLE,
    "type": "vectorlabels",
    "value": {
        "vertices": [{"id": "1", "x": 1, "y": 2}, {"x": 5, "y": 2}, {"x": 5, "y": 9.5}],
        "closed": True,
        "vectorlabels": ["Cat"],
    },
}


def test_answer_to_a_question_about_a_region_is_neither_a_region_nor_a_label():
    shape = RECTANGLE["value"]
    answers = [
        {**RECTANGLE, "type": kind, "value": {**shape, kind: ["partly"]}}
        for kind in ("choices", "textarea", "rating", "number", "taxonomy", "datetime")
    ]
    [region] = read_regions([RECTANGLE, *answers])
    assert region.labels == ("Cat",)


def test_closed_vector_is_a_polygon():
    [region] = read_regions([VECTOR])
    assert (region.shape, region.labels) == ("polygon", ("Cat",))
    assert region.value["points"] == [[1, 2], [5, 2], [5, 9.5]]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"type": "cuboidlabels"}, id="unknown"),
        pytest.param({**VECTOR, "value": {**VECTOR["value"], "closed": False}}, id="open"),
        pytest.param({**VECTOR, "value": {"vertices": [{"x": "1"}]}}, id="vertex-without-place"),
        pytest.param({"value": {"rectanglelabels": [{"a": 1}]}}, id="label-is-an-object"),
        pytest.param({"value": {"rectanglelabels": "Cat"}}, id="labels-are-a-text"),
        pytest.param({"value": []}, id="value-is-a-list"),
        pytest.param({"to_name": ["image"]}, id="name-is-a-list"),
        pytest.param({"item_index": "1"}, id="page-is-a-text"),
        pytest.param({"original_width": "60"}, id="width-is-a-text"),
        pytest.param({"original_width": 60.5}, id="half-a-pixel"),
        pytest.param({"original_width": float("nan")}, id="nan"),
        pytest.param({"original_width": 10**400}, id="huge"),
    ],
)
def test_shape_that_nobody_can_hold_is_named(change):
    [fault] = read_regions([{**RECTANGLE, **change}])
    assert isinstance(fault, RegionError)
    assert "region 'a'" in str(fault)


@pytest.mark.parametrize("score", [float("nan"), float("inf"), 10**400, "0.5", None, True])
def test_score_that_is_no_number_is_none(score):
    [region] = read_regions([{**RECTANGLE, "score": score}])
    assert region.score is None


def test_sides_may_have_a_point():
    [region] = read_regions([{**RECTANGLE, "original_width": 60.0}])
    assert region.size_hw == (40, 60)


@pytest.mark.parametrize("region_id", ["a", None, "", [], {}])
def test_shapes_with_one_id_or_none_are_all_kept(region_id):
    twice = [{**RECTANGLE, "id": region_id}, {**RECTANGLE, "id": region_id}]
    assert [region.labels for region in read_regions(twice)] == [("Cat",), ("Cat",)]


def test_shapes_with_one_id_have_labels_of_their_own():
    shape = {**RECTANGLE, "type": "rectangle", "value": {"x": 1}}
    cat, dog = ({"id": "a", "type": "labels", "value": {"labels": [n]}} for n in ("Cat", "Dog"))
    for results in ([shape, cat, shape, dog], [shape, shape, cat, dog], [cat, shape, shape, dog]):
        assert [region.labels for region in read_regions(results)] == [("Cat",), ("Dog",)]
