"""Clicks that go on with an object: what they take along, and what they never do."""

import numpy as np
import pytest
from fake_model import png
from segmenting import SIZE_HW, box, click, predict

from backend.core.errors import PromptError


def test_negative_click_alone_refines_the_last_object_of_its_label(click_service, predictor):
    predict(click_service, click(20, 20))
    predict(click_service, click(80, 80, label="B"))
    predict(click_service, click(25, 20, positive=False))
    assert predictor.prompts[-1] == ([(40, 20), (50, 20)], [1, 0], None)
    # Label Studio sends the pending negative point again with the next one.
    predict(click_service, click(25, 20, positive=False), click(30, 20, positive=False))
    assert predictor.prompts[-1] == ([(40, 20), (50, 20), (60, 20)], [1, 0, 0], None)
    # One that it does not send again was undone.
    predict(click_service, click(30, 20, positive=False))
    assert predictor.prompts[-1] == ([(40, 20), (60, 20)], [1, 0], None)


def test_negative_click_alone_refines_a_rectangle_too(click_service, predictor):
    predict(click_service, box(0, 0, 50, 50))
    predict(click_service, click(25, 20, positive=False))
    assert predictor.prompts[-1] == ([(50, 20)], [0], (0, 0, 100, 50))


FIRST, SECOND, OFF = click(20, 20), click(25, 20), click(15, 20, positive=False)
DISC_PX = np.count_nonzero(np.hypot(*np.mgrid[-20:21, -20:21]) < 20)  # of one click's mask


def test_further_click_takes_the_mask_before_it_along(click_service, predictor):
    predict(click_service, FIRST)
    predict(click_service, FIRST, SECOND)
    predict(click_service, FIRST, SECOND, OFF)
    assert [len(points) for points, *_ in predictor.prompts] == [1, 2, 3]
    assert predictor.previous == [None, DISC_PX, DISC_PX]


def test_negative_click_alone_takes_the_mask_of_the_last_object_along(click_service, predictor):
    predict(click_service, FIRST)
    predict(click_service, OFF)
    assert predictor.previous == [None, DISC_PX]


@pytest.mark.parametrize(
    "context",
    [
        pytest.param([SECOND], id="after-accept"),
        pytest.param([click(20, 20, label="B")], id="another-label"),
        pytest.param([box(0, 0, 50, 50)], id="box"),
        pytest.param([click(21, 20)], id="moved"),
    ],
)
def test_new_object_takes_no_mask_along(click_service, predictor, context):
    predict(click_service, FIRST)
    predict(click_service, *context)
    assert predictor.previous == [None, None]


def test_undone_click_leads_back_to_the_mask_before_it(click_service, predictor):
    predict(click_service, FIRST)
    predict(click_service, FIRST, OFF)
    predict(click_service, FIRST, SECOND)  # the second was undone
    assert [len(points) for points, *_ in predictor.prompts] == [1, 2, 2]
    assert predictor.previous == [None, DISC_PX, DISC_PX]


def test_deleted_or_moved_click_lets_the_later_ones_be_decoded_anew(click_service, predictor):
    predict(click_service, FIRST, OFF, SECOND)
    del predictor.prompts[:], predictor.previous[:]
    predict(click_service, OFF, SECOND)  # the first positive one says where the object is
    predict(click_service, click(21, 20), OFF, SECOND)
    assert [len(points) for points, *_ in predictor.prompts] == [2, 1, 2, 3]
    assert predictor.previous[:2] == [None, None]
    assert None not in predictor.previous[2:]


def test_points_refine_the_mask_of_the_rectangle_that_they_lie_in(click_service, predictor):
    predict(click_service, box(0, 0, 50, 50))
    predict(click_service, box(0, 0, 50, 50), FIRST)
    predict(click_service, box(0, 0, 50, 50), FIRST, OFF)
    assert [len(points) for points, *_ in predictor.prompts] == [0, 0, 1, 2]
    assert predictor.previous == [None, None, 100 * 50, 100 * 50]


def test_two_annotators_on_one_task_do_not_mix(click_service, predictor):
    predict(click_service, FIRST)
    predict(click_service, click(80, 80))
    predict(click_service, FIRST, OFF)
    predict(click_service, click(80, 80), click(70, 80))
    assert [len(points) for points, *_ in predictor.prompts] == [1, 1, 2, 2]
    assert None not in predictor.previous[2:]


def test_click_on_another_image_takes_no_mask_along(click_service, predictor, files):
    files.content["/data/b.png"] = png(*SIZE_HW, color=(1, 2, 3))
    predict(click_service, FIRST, photo="/data/a.png")
    predict(click_service, FIRST, SECOND, photo="/data/b.png")
    assert [len(points) for points, *_ in predictor.prompts] == [1, 1, 2]


@pytest.mark.parametrize(
    "elsewhere",
    [
        pytest.param({"task_id": 5}, id="another-task"),
        pytest.param({"label": "B"}, id="another-label"),
    ],
)
def test_negative_click_without_an_object_is_explained(click_service, elsewhere):
    predict(click_service, click(20, 20))
    label = elsewhere.pop("label", "A")
    with pytest.raises(PromptError, match="only negative points"):
        predict(click_service, click(25, 20, positive=False, label=label), **elsewhere)


def test_last_object_is_forgotten_after_a_while(click_service, monkeypatch):
    monkeypatch.setattr("backend.segmentation.last_objects.REMEMBERED_FOR_S", 0)
    predict(click_service, click(20, 20))
    with pytest.raises(PromptError, match="only negative points"):
        predict(click_service, click(25, 20, positive=False))
