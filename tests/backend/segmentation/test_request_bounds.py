"""Requests that ask for too much, or for what makes no sense."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from segmenting import CONFIG, DEADLINE_S, click, predict

from backend.core.errors import BusyError, RequestError, RequestTooLargeError
from backend.segmentation.click_service import ClickService
from backend.settings.settings import Settings


@pytest.mark.parametrize(
    "tasks",
    [
        pytest.param([], id="no-task"),
        pytest.param([{"id": 1, "data": {}}, {"id": 2, "data": {}}], id="two-tasks"),
        pytest.param([{"id": "1", "data": {}}], id="id-is-text"),
    ],
)
def test_prompts_need_exactly_one_task(click_service, tasks):
    with pytest.raises(RequestError):
        click_service.predict(
            tasks=tasks, project="1.0", label_config=CONFIG, context=[click(20, 20)]
        )


@pytest.mark.parametrize("task_id", [None, "4", 4.0, True], ids=repr)
def test_task_whose_id_is_no_number_is_refused(click_service, task_id):
    task = {"id": task_id, "data": {"photo": "/a.jpg"}}
    with pytest.raises(RequestError, match="a task's id is of type") as caught:
        click_service.predict(
            tasks=[task], project="1", label_config=CONFIG, context=[click(20, 20)]
        )
    assert caught.value.reason == "A task's id is not a number"


def test_tasks_beyond_the_bound_are_refused_and_named(predictor, files):
    click_service = ClickService(predictor, Settings(max_tasks=3))
    tasks = [{"id": n, "data": {"photo": f"/data/{n}.jpg"}} for n in range(4)]
    with pytest.raises(RequestTooLargeError, match=r"4 tasks, more than 3.* MOBILESAM_MAX_TASKS"):
        click_service.predict(tasks=tasks, project="1.0", label_config=CONFIG, context=None)
    assert files.fetched == []
    assert (
        click_service.predict(tasks=tasks[:3], project="1", label_config=CONFIG, context=None) == []
    )


def test_regions_beyond_the_bound_are_refused_and_named(predictor, files):
    click_service = ClickService(predictor, Settings(max_regions=3))
    context = [click(20 + n, 20) for n in range(4)]
    with pytest.raises(RequestTooLargeError, match="MOBILESAM_MAX_REGIONS") as caught:
        predict(click_service, *context)
    assert caught.value.reason == "Too many regions: 4, at most 3"
    assert files.fetched == []
    assert predict(click_service, *context[:3])["result"]


def test_many_thousand_tasks_are_legal_by_default(click_service, files):
    """Retrieve Predictions sends all that are selected; the queue takes the first of them."""
    files.go_on.clear()
    tasks = [{"id": n, "data": {"photo": f"/data/{n}.jpg"}} for n in range(30_000)]
    assert click_service.predict(tasks=tasks, project="1", label_config=CONFIG, context=None) == []
    files.go_on.set()


def test_clicks_that_may_wait_are_a_setting(predictor, files):
    click_service = ClickService(predictor, Settings(max_waiting=1))
    files.go_on.clear()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(predict, click_service, click(20, 20), photo="/data/1.jpg")
        assert files.asked.acquire(timeout=DEADLINE_S)
        with pytest.raises(BusyError, match="1 clicks wait"):
            predict(click_service, click(20, 20), photo="/data/2.jpg")
        files.go_on.set()
        assert waiting.result(DEADLINE_S)["result"]
