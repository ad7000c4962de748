import threading
from contextlib import closing

import pytest
from fake_project import FakeProject
from waiting import DEADLINE_S, wait_until

from backend.core.workers import Urgency
from backend.embeddings.task_images import BACKGROUND_FETCHES
from backend.label_studio import projects
from backend.segmentation.click_service import ClickService
from benchmarks.key_points import key_point

PROJECT = "7.1795350403"


@pytest.fixture
def label_studio():
    with FakeProject().running() as project:
        yield project


@pytest.fixture
def click_service(label_studio, predictor):
    made = make_click_service(label_studio, predictor)
    with closing(made):
        yield made


def make_click_service(label_studio, predictor, **settings):
    return ClickService(predictor, label_studio.service_settings(**settings))


def ask(click_service, label_studio, task_id, *, project=PROJECT, is_click=True):
    context = [key_point((30, 20), (40, 60))] if is_click else None
    return click_service.predict(
        tasks=[{"id": task_id, "data": label_studio.tasks[task_id]}],
        project=project,
        label_config=projects.LABELING_CONFIG,
        context=context,
    )


def wait_until_asked(click_service):
    """Until all that was begun in the background is done."""
    images = click_service._images
    wait_until(lambda: not click_service._prefetcher._asking)
    for workers, threads in (
        (images._background, BACKGROUND_FETCHES),
        (click_service._embedder._encoder, 1),
    ):
        all_are_free = threading.Barrier(threads + 1, timeout=DEADLINE_S)
        for _ in range(threads):
            workers.submit(Urgency.PREFETCH, all_are_free.wait)
        all_are_free.wait()


@pytest.mark.parametrize("is_click", [True, False], ids=["click", "opened"])
def test_next_tasks_are_embedded_in_the_order_they_are_served(
    click_service, label_studio, predictor, is_click
):
    label_studio.finished = {104}
    label_studio.answer_now.clear()
    ask(click_service, label_studio, 102, is_click=is_click)
    wait_until(lambda: len(predictor.embedded) == 1)  # else the next ones might be dropped
    label_studio.answer_now.set()
    wait_until(lambda: len(predictor.embedded) == 4)
    wait_until_asked(click_service)
    assert sorted(label_studio.fetched()) == [102, 103, 105, 106]
    ask(click_service, label_studio, 103)
    assert sorted(label_studio.fetched())[:4] == [102, 103, 105, 106]
    assert sum(int(image[0, 0, 0]) == 103 for image in predictor.embedded) == 1


def test_fifty_clicks_on_a_task_are_one_question(click_service, label_studio):
    for _ in range(50):
        ask(click_service, label_studio, 101)
    wait_until_asked(click_service)
    assert label_studio.count("/api/tasks/") == 1
    assert label_studio.count("/api/projects/7/") == 1


def test_project_is_asked_one_question_at_a_time(click_service, label_studio):
    label_studio.answer_now.clear()
    ask(click_service, label_studio, 101)
    assert label_studio.asked.acquire(timeout=DEADLINE_S)
    for task_id in (102, 103, 104):
        ask(click_service, label_studio, task_id)
    assert label_studio.count("/api/tasks/") == 1
    label_studio.answer_now.set()
    wait_until(lambda: label_studio.count("/api/tasks/") == 2)
    wait_until_asked(click_service)
    assert {105, 106, 107} <= set(label_studio.fetched())  # what comes after the last one
    assert label_studio.count("/api/tasks/") == 2
    ask(click_service, label_studio, 103)  # not remembered as asked, since it was not
    wait_until(lambda: label_studio.count("/api/tasks/") == 3)


def test_click_does_not_wait_for_the_question(click_service, label_studio):
    label_studio.answer_now.clear()
    assert ask(click_service, label_studio, 101)[0]["result"]
    assert label_studio.asked.acquire(timeout=DEADLINE_S)
    assert ask(click_service, label_studio, 101)[0]["result"]
    label_studio.answer_now.set()


def test_project_that_serves_at_random_is_left_alone(click_service, label_studio, predictor):
    label_studio.sampling = "Uniform sampling"
    for task_id in (101, 102, 103):
        ask(click_service, label_studio, task_id)
        wait_until_asked(click_service)
    assert label_studio.count("/api/projects/7/") == 1
    assert label_studio.count("/api/tasks/") == 0
    assert len(predictor.embedded) == 3


def test_prefetch_can_be_turned_off(label_studio, predictor):
    click_service = make_click_service(label_studio, predictor, prefetch_tasks=0)
    ask(click_service, label_studio, 101)
    assert click_service._prefetcher._workers.waiting() == 0
    assert label_studio.count("/api/projects/7/") == 0
    assert len(predictor.embedded) == 1


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param((401, {"Set-Cookie": "sesame"}, b"{}"), id="not-allowed"),
        pytest.param((500, {}, b"<html>"), id="server-error"),
        pytest.param((200, {}, b"not json"), id="no-json"),
        pytest.param((200, {"Content-Type": "application/json"}, b"[]"), id="another-shape"),
    ],
)
def test_failed_question_is_quiet_and_clicks_go_on(click_service, label_studio, caplog, fault):
    caplog.set_level("DEBUG", logger="backend")
    label_studio.api_fault = fault
    for task_id in (101, 102, 103):
        assert ask(click_service, label_studio, task_id)[0]["result"]
        wait_until_asked(click_service)
    assert label_studio.count("/api/projects/7/") == 1  # and not again for a while
    assert {record.levelname for record in caplog.records} == {"DEBUG"}
    assert "nothing to prefetch for 7.1795350403" in caplog.text
    assert "sesame" not in caplog.text


def test_upcoming_image_that_is_missing_is_quiet(click_service, label_studio, predictor, caplog):
    del label_studio.pages["/data/upload/7/102.png"]
    ask(click_service, label_studio, 101)
    wait_until(lambda: len(predictor.embedded) == 3)
    wait_until_asked(click_service)
    assert sorted(label_studio.fetched()) == [101, 102, 103, 104]
    assert {record.levelname for record in caplog.records} <= {"INFO"}


@pytest.mark.parametrize("project", ["", "seven.1", "../7.1"])
def test_project_without_a_number_is_asked_nothing(click_service, label_studio, project):
    ask(click_service, label_studio, 101, project=project)
    wait_until_asked(click_service)
    assert label_studio.count("/api/tasks/") == 0


def test_tasks_that_were_dropped_are_asked_for_again_soon(click_service, label_studio, monkeypatch):
    """Otherwise a busy moment would make first clicks slow for two minutes."""
    monkeypatch.setattr("backend.embeddings.prefetch.DROPPED_ASKED_AGAIN_AFTER_S", 0.0)
    with monkeypatch.context() as busy:
        busy.setattr(click_service._embedder, "is_busy", lambda: True)
        ask(click_service, label_studio, 101)
        wait_until(lambda: label_studio.count("/api/tasks/") == 1)
        wait_until_asked(click_service)
    assert label_studio.fetched() == [101]
    ask(click_service, label_studio, 101)
    wait_until(lambda: len(label_studio.fetched()) == 4)
    wait_until_asked(click_service)
    ask(click_service, label_studio, 101)  # nothing was dropped this time
    wait_until_asked(click_service)
    assert label_studio.count("/api/tasks/") == 2


def test_upcoming_images_are_not_fetched_while_others_wait(
    click_service, label_studio, monkeypatch
):
    monkeypatch.setattr(click_service._embedder, "is_busy", lambda: True)
    ask(click_service, label_studio, 101)
    assert label_studio.asked.acquire(timeout=DEADLINE_S)
    wait_until_asked(click_service)
    assert label_studio.fetched() == [101]
