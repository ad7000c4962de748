"""Images of tasks: fetched and encoded once, in the right order, and tried again."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from fake_model import png
from segmenting import CONFIG, DEADLINE_S, SIZE_HW, click, predict
from waiting import wait_until

from backend.core.errors import BusyError, ImageError, ImageUndecodableError
from backend.core.workers import Urgency
from backend.embeddings.task_images import BACKGROUND_FETCHES, MAX_WAITING
from backend.segmentation.click_service import ClickService
from backend.settings.settings import Settings


def test_one_image_in_two_tasks_is_encoded_once(click_service, predictor):
    predict(click_service, click(20, 20), task_id=4, photo="/data/upload/1/a.jpg")
    predict(click_service, click(20, 20), task_id=5, photo="/data/upload/1/copy.jpg")
    assert len(predictor.embedded) == 1


def test_image_is_encoded_again_when_its_embedding_was_dropped(predictor, files, monkeypatch):
    monkeypatch.setattr(
        "backend.segmentation.click_service.MEGABYTE", 1500
    )  # room for one fake embedding
    click_service = ClickService(predictor, Settings(cache_mb=1))
    files.content = {"/data/b.jpg": png(*SIZE_HW, color=(1, 2, 3))}
    for photo in ("/data/a.jpg", "/data/b.jpg", "/data/a.jpg"):
        predict(click_service, click(20, 20), photo=photo)
    assert len(predictor.embedded) == 3


def test_image_that_changed_at_its_address_is_seen_later(
    click_service, predictor, files, monkeypatch
):
    monkeypatch.setattr("backend.embeddings.task_images.TRUSTED_FOR_S", 0)
    predict(click_service, click(20, 20))
    files.content["/data/upload/1/a.jpg"] = png(50, 60)
    (region,) = predict(click_service, click(20, 20))["result"]
    assert (region["original_height"], region["original_width"]) == (50, 60)


def test_fifty_threads_on_one_image_run_one_encode(click_service, predictor):
    barrier = threading.Barrier(50)

    def ask(_):
        barrier.wait()
        return predict(click_service, click(20, 20))["result"][0]["value"]

    with ThreadPoolExecutor(50) as pool:
        values = list(pool.map(ask, range(50)))
    assert len(predictor.embedded) == 1
    assert all(value == values[0] for value in values)


def test_clicks_on_one_image_share_its_fetch(click_service, files):
    files.go_on.clear()
    with ThreadPoolExecutor(20) as pool:
        answers = [pool.submit(predict, click_service, click(20, 20)) for _ in range(20)]
        assert files.asked.acquire(timeout=DEADLINE_S)
        files.go_on.set()
        assert all(answer.result(DEADLINE_S)["result"] for answer in answers)
    assert len(files.fetched) == 1


def test_warm_clicks_do_not_wait_for_the_images_in_the_encoder(click_service, predictor, files):
    files.content |= {f"/{number}.jpg": png(10 + number, 20) for number in range(4)}
    predict(click_service, click(20, 20))
    with ThreadPoolExecutor(4) as pool, predictor.held():
        waiting = [
            pool.submit(predict, click_service, click(9, 9), task_id=number, photo=f"/{number}.jpg")
            for number in range(4)
        ]
        wait_until(lambda: click_service.describe()["waiting_for_encoder"] == 4)
        for x_pct in (30, 40, 50):
            assert predict(click_service, click(x_pct, 20))["result"]
        assert not any(answer.done() for answer in waiting)
    assert all(answer.result()["result"] for answer in waiting)
    assert len(predictor.embedded) == 5


def test_click_beyond_those_that_may_wait_is_told_to_come_again(predictor, files):
    """Some threads are always left, for /health and for clicks whose image is there."""
    click_service = ClickService(predictor, Settings(threads=4))
    predict(click_service, click(20, 20), photo="/data/warm.jpg")
    assert files.asked.acquire(timeout=DEADLINE_S)
    files.go_on.clear()
    with ThreadPoolExecutor(3) as pool:
        waiting = [
            pool.submit(predict, click_service, click(20, 20), photo=f"/data/{number}.jpg")
            for number in range(3)
        ]
        for _ in waiting:
            assert files.asked.acquire(timeout=DEADLINE_S)
        with pytest.raises(BusyError, match="3 clicks wait"):
            predict(click_service, click(20, 20), photo="/data/4.jpg")
        assert predict(click_service, click(30, 30), photo="/data/warm.jpg")["result"]
        files.go_on.set()
        assert all(answer.result(DEADLINE_S)["result"] for answer in waiting)
    assert predict(click_service, click(20, 20), photo="/data/4.jpg")["result"]


def test_opened_task_is_fetched_before_the_rest_of_a_batch(predictor, files, monkeypatch):
    monkeypatch.setattr("backend.embeddings.task_images.BACKGROUND_FETCHES", 1)  # in their order
    click_service = ClickService(predictor, Settings())

    def open_tasks(*photos):
        tasks = [{"id": n, "data": {"photo": photo}} for n, photo in enumerate(photos)]
        click_service.predict(tasks=tasks, project="1.0", label_config=CONFIG, context=None)

    files.go_on.clear()
    batch = [f"/data/{number}.jpg" for number in range(100)]
    open_tasks(*batch)
    assert files.asked.acquire(timeout=DEADLINE_S)
    open_tasks("/data/opened.jpg")
    files.go_on.set()
    most = MAX_WAITING[Urgency.BATCH]
    wait_until(lambda: len(files.fetched) > most)
    assert files.fetched[1] == "/data/opened.jpg"
    # What is beyond the queue was dropped; the first may have left it while it was filled.
    wait_until(lambda: click_service.images._background.waiting() == 0)
    assert len(files.fetched) <= 1 + most + 1


def test_opened_tasks_beyond_the_bound_are_dropped_and_clicked_ones_are_not(
    click_service, files, monkeypatch
):
    monkeypatch.setitem(MAX_WAITING, Urgency.OPENED_TASK, 5)
    files.go_on.clear()
    for number in range(20):
        task = {"id": number, "data": {"photo": f"/data/{number}.jpg"}}
        click_service.predict(tasks=[task], project="1.0", label_config=CONFIG, context=None)
        if number < BACKGROUND_FETCHES:
            assert files.asked.acquire(timeout=DEADLINE_S)
    files.go_on.set()
    for _ in range(5):
        assert files.asked.acquire(timeout=DEADLINE_S)
    assert predict(click_service, click(20, 20), photo="/data/19.jpg")["result"]
    assert len(files.fetched) == BACKGROUND_FETCHES + 5 + 1


def test_long_addresses_are_remembered_by_their_hash(click_service, predictor):
    photo = "data:image/png;base64," + "A" * 100_000
    predict(click_service, click(20, 20), photo=photo)
    ((_, _, address),) = click_service._images._addresses._seen
    assert len(address) == 64
    predict(click_service, click(20, 20), photo=photo)
    assert len(predictor.embedded) == 1


def test_failed_image_is_tried_again(click_service, files):
    files.content["/data/upload/1/a.jpg"] = b"<html>Please log in</html>"
    with pytest.raises(ImageUndecodableError, match="task 4"):
        predict(click_service, click(20, 20))
    files.content.clear()
    assert predict(click_service, click(20, 20))["result"]


def test_task_without_its_image_field_is_explained(click_service):
    with pytest.raises(ImageError, match="task 4 has no image in 'photo'"):
        click_service.predict(
            tasks=[{"id": 4, "data": {"image": "/a.jpg"}}],
            project="1.0",
            label_config=CONFIG,
            context=[click(20, 20)],
        )
