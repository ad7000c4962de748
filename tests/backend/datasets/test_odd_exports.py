"""export-coco with tasks that nobody should have made: listed, and the others are written."""

import copy
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_export_coco import export, region, saved, square, task

from backend.codecs.brush import encode_brush


def test_size_of_an_image_is_what_most_regions_say(tmp_path, capsys):
    thumb = region(np.ones((4, 6), bool), 1)
    source = saved(tmp_path, task(1, thumb, region(square(), 2), region(square(left=30), 3)))
    status, content = export(tmp_path, source)
    assert status == 3
    assert [found["region_id"] for found in content["annotations"]] == ["r2", "r3"]
    assert (content["images"][0]["width"], content["images"][0]["height"]) == (60, 40)
    assert "region 'r1': it was drawn on 6 x 4 pixels" in capsys.readouterr().err


def test_answer_about_a_region_makes_no_category_and_an_unknown_shape_is_listed(tmp_path, capsys):
    answer = {**region(square()), "type": "choices", "value": {"choices": ["Partly hidden"]}}
    cuboid = {**region(square(), 2), "type": "cuboid", "value": {"x": 1}}
    status, content = export(tmp_path, saved(tmp_path, task(1, region(square()), answer, cuboid)))
    assert status == 3
    assert [category["name"] for category in content["categories"]] == ["Cat"]
    assert len(content["annotations"]) == 1
    assert "cuboid region 'r2': neither COCO nor YOLO has" in capsys.readouterr().err


NUMBERS = [
    *(None, True, 0, -1, 1e308, -1e308, 10**30, 10**400, float("nan"), float("inf")),
    *("", "x", "\ud800", [], {}, [[]], [None], {"a": 1}, 1.5, 2**63, 1e-300, "keypoint", [["a"]]),
]
SHAPES_OF_ALL_KINDS = [
    {**one, "original_width": 60, "original_height": 40, "to_name": "image", "id": one["type"]}
    for one in (
        {"type": "brushlabels", "value": {"rle": encode_brush(square()), "brushlabels": ["O"]}},
        {"type": "rectangle", "value": {"x": 1, "y": 1, "width": 50, "height": 50, "rotation": 10}},
        {
            "type": "ellipse",
            "value": {"x": 50, "y": 50, "radiusX": 10, "radiusY": 5, "rotation": 3},
        },
        {"type": "polygonlabels", "value": {"points": [[1, 1], [50, 1], [50, 50]]}},
        {"type": "keypoint", "value": {"x": 5, "y": 5, "width": 1}},
        {"type": "vector", "value": {"vertices": [{"x": 1, "y": 1}] * 4, "closed": True}},
    )
]
LABELS = {"id": "rectangle", "type": "labels", "value": {"labels": ["X"]}}
WHOLE_TASK = {
    **task(
        1, *SHAPES_OF_ALL_KINDS, {"id": "rectangle", "type": "labels", "value": {"labels": ["X"]}}
    ),
    "predictions": [{"id": 1, "result": [], "score": 0.4, "created_at": "2026"}],
    "drafts": [{"id": 5, "annotation": 101, "result": [], "updated_at": "x"}],
    "meta": {"coco": {"file_name": "a.jpg", "width": 60, "height": 40}},
}


def places(value, path=()):
    yield from [path] if path else []
    if isinstance(value, dict | list):
        keys = value if isinstance(value, dict) else range(min(len(value), 8))
        for key in keys:
            yield from places(value[key], (*path, key))


PLACES = list(places(WHOLE_TASK))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(NUMBERS)), max_size=3),
        min_size=1,
        max_size=30,
    ),
    st.sampled_from(["rle", "polygon"]),
    st.sampled_from(["latest", "all"]),
)
def test_whatever_stands_in_a_task_the_export_is_valid_and_the_others_are_whole(
    changes, segmentation, which
):
    """Each example is a file of up to 30 tasks that are changed in up to three places."""
    tasks = [task(1000, region(square()))]
    for number, change in enumerate(changes, 1):
        odd = copy.deepcopy({**WHOLE_TASK, "id": number})
        for path, value in change:
            place = odd
            try:
                for key in path[:-1]:
                    place = place[key]
                place[path[-1]] = value
            except (KeyError, IndexError, TypeError):  # another change took that place away
                continue
        tasks.append(odd)
    with TemporaryDirectory() as folder:
        out = Path(folder)
        options = ["--segmentation", segmentation, "--annotations", which, "--drafts"]
        status, _ = export(out, saved(out, *tasks), *options)
        assert status in (0, 3)
        text = (out / "instances.json").read_text()
    content = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    [image] = [one["id"] for one in content["images"] if one["task_id"] == 1000]
    [whole] = [one for one in content["annotations"] if one["image_id"] == image]
    assert whole["area"] == 400
