import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.commands.prelabel.rectangles import Source, rectangle_prompts
from backend.core.errors import DatasetError, PromptError, RegionError
from backend.datasets.labelled_tasks import LabelledTask
from backend.label_studio.projects import LABELING_CONFIG
from backend.labeling.parse_config import parse_labeling_config
from backend.labeling.prompts import Prompt

SIZE_HW = (200, 400)
CONFIG = parse_labeling_config(LABELING_CONFIG)


def rectangle(x_pct=10, *, labels=("Object",), **more):
    value = {"x": x_pct, "y": 20, "width": 30, "height": 40, "rotation": 0}
    return {
        "id": f"r{x_pct}",
        "type": "rectanglelabels",
        "to_name": "image",
        "original_height": SIZE_HW[0],
        "original_width": SIZE_HW[1],
        "value": {**value, "rectanglelabels": list(labels), **more.pop("value", {})},
        **more,
    }


def annotation(*results, updated="2026-01-01", **more):
    return {"id": 1, "result": list(results), "updated_at": updated, **more}


def prediction(*results, version="detector", created="2026-01-01", **more):
    return {
        "id": 1,
        "result": list(results),
        "model_version": version,
        "created_at": created,
        **more,
    }


def read(annotations=(), predictions=(), source=Source.AUTO):
    task = LabelledTask(1, {}, annotations=list(annotations), predictions=list(predictions))
    return list(rectangle_prompts(task, source, CONFIG))


def lefts(found):
    return [prompt.rectangle.x_pct for prompt in found]


def test_rectangle_is_a_prompt_in_pixels_with_its_labels_and_page():
    (prompt,) = read([annotation(rectangle(item_index=2))])
    assert (prompt.to_name, prompt.item_index, prompt.labels) == ("image", 2, ("Object",))
    assert prompt.points == ()
    assert prompt.box_xyxy_px(SIZE_HW) == pytest.approx((40, 40, 160, 120))


def test_turned_rectangle_prompts_with_the_upright_box_around_it():
    (prompt,) = read([annotation(rectangle(50, value={"rotation": 90}))])
    # About the top left corner at (200, 40): 120 wide and 80 high, lying to its left now.
    assert prompt.box_xyxy_px(SIZE_HW) == pytest.approx((120, 40, 200, 160))


def test_rectangle_over_the_edge_is_cut_off_there():
    (prompt,) = read([annotation(rectangle(-10))])
    assert prompt.box_xyxy_px(SIZE_HW) == pytest.approx((0, 40, 80, 120))


def test_labels_of_a_shared_control_are_the_rectangles():
    shape = rectangle(type="rectangle", labels=())
    labels = {**rectangle(type="labels"), "value": {"labels": ["Other"]}}
    (prompt,) = read([annotation(shape, labels)])
    assert prompt.labels == ("Other",)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param(Source.AUTO, [10], id="auto-takes-annotations"),
        pytest.param(Source.ANNOTATIONS, [10], id="annotations"),
        pytest.param(Source.PREDICTIONS, [50], id="predictions"),
    ],
)
def test_source_says_whose_rectangles_count(source, expected):
    found = read([annotation(rectangle(10))], [prediction(rectangle(50))], source)
    assert lefts(found) == expected


def test_auto_takes_predictions_where_the_annotation_has_no_rectangle():
    brush = rectangle(type="brushlabels", value={"rle": []})
    predictions = [prediction(rectangle(50))]
    assert lefts(read([annotation(brush)], predictions)) == [50]
    assert read([annotation(brush)], predictions, Source.ANNOTATIONS) == []


def test_annotation_that_was_changed_last_counts_and_a_skipped_one_never_does():
    annotations = [
        annotation(rectangle(10), updated="2026-01-02"),
        annotation(rectangle(20), updated="2026-01-03", id=2),
        annotation(rectangle(30), updated="2026-01-04", id=3, was_cancelled=True),
    ]
    assert lefts(read(annotations)) == [20]


def test_latest_prediction_with_rectangles_counts_and_none_from_here():
    predictions = [
        prediction(rectangle(10), created="2026-01-01"),
        prediction(rectangle(20), created="2026-01-02"),
        prediction(rectangle(30, type="brushlabels"), created="2026-01-03"),
        prediction(rectangle(40), created="2026-01-04", version="m-prelabel-boxes"),
        7,
    ]
    assert lefts(read(predictions=predictions)) == [20]


@pytest.mark.parametrize(
    ("damaged", "why"),
    [
        pytest.param(rectangle(value={"width": 0}), "it has no area", id="no-area"),
        pytest.param(rectangle(value={"x": None}), "its x is None", id="no-number"),
        pytest.param(rectangle(to_name="other"), "has no image 'other'", id="unknown-image"),
        pytest.param(rectangle(original_width=None), "original_width", id="no-size"),
        pytest.param({**rectangle(), "value": None}, "has no value", id="no-value"),
    ],
)
def test_rectangle_that_cannot_be_read_is_told_and_the_others_are_read(damaged, why):
    fault, sound = read([annotation({**damaged, "id": "bad"}, rectangle(50))])
    assert isinstance(fault, RegionError)
    assert why in str(fault)
    assert sound.rectangle.x_pct == 50


@pytest.mark.parametrize("result", [None, "text", [7], [{"type": "choices"}]], ids=repr)
def test_results_without_rectangles_give_none(result):
    assert read([{"id": 1, "result": result}]) == []


ODD = [
    *(None, True, 0, -1, 1e308, -1e308, 10**400, float("nan"), float("inf"), "", "x", "\ud800"),
    *([], {}, [[]], [None], {"a": 1}, 1.5, 1e-300, "rectangle", "labels", [["a"]]),
]
WHOLE = {
    "id": 1,
    "data": {"image": "a.jpg"},
    "annotations": [
        annotation(
            {**rectangle(), "type": "rectangle"},
            {"id": "r10", "type": "labels", "value": {"labels": ["Object"]}},
            rectangle(20),
        )
    ],
    "predictions": [prediction(rectangle(30), score=0.5)],
}


def places(value, path=()):
    yield from [path] if path else []
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


@settings(max_examples=500, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(list(places(WHOLE))), st.sampled_from(ODD)),
        min_size=1,
        max_size=3,
    ),
    st.sampled_from(Source),
)
def test_whatever_stands_in_a_task_gives_prompts_and_named_errors(changes, source):
    task = copy.deepcopy(WHOLE)
    for path, value in changes:
        place = task
        try:
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = value
        except (KeyError, IndexError, TypeError):  # another change took that place away
            continue
    try:
        found = list(rectangle_prompts(LabelledTask.from_json(task), source, CONFIG))
    except DatasetError:
        return
    for one in found:
        assert isinstance(one, Prompt | RegionError)
        if isinstance(one, Prompt):
            try:
                box = one.box_xyxy_px(SIZE_HW)
            except PromptError:
                continue
            assert 0 <= box[0] < box[2] <= SIZE_HW[1]
            assert 0 <= box[1] < box[3] <= SIZE_HW[0]
