"""Files that wait to be embedded for tasks that nobody waits for: bounded in bytes."""

import pytest
from fake_model import png
from segmenting import CONFIG, SIZE_HW, files  # noqa: F401 - a fixture
from waiting import wait_until

from backend.core.workers import Urgency
from backend.embeddings import task_images
from backend.labeling.parse_config import parse_labeling_config
from backend.segmentation.click_service import ClickService
from backend.settings.settings import Settings

FILE = png(*SIZE_HW)


@pytest.mark.parametrize("urgency", [Urgency.OPENED_TASK, Urgency.BATCH])
def test_files_that_wait_are_bounded_in_bytes_and_the_room_comes_back(
    predictor,
    files,  # noqa: F811
    monkeypatch,
    urgency,
):
    monkeypatch.setattr(task_images, "MAX_WAITING_BYTES", 5 * len(FILE) + 500)
    service = ClickService(predictor, Settings())
    images, dropped = service.images, []
    config = parse_labeling_config(CONFIG)

    def prepare(numbers):
        for number in numbers:
            address = f"/data/upload/{number}.png"
            files.content[address] = png(*SIZE_HW, color=(number, 0, 0))
            task = {"id": number, "data": {"photo": address}}
            images.prepare(task, config, "1.0", urgency, lambda: dropped.append(1))

    with predictor.held() as begun:
        prepare(range(20))
        assert begun.wait(60)
        wait_until(lambda: not images._background.waiting() and len(files.fetched) == 20)
        wait_until(lambda: len(dropped) + len(images._held) >= 20)
        assert sum(images._held.values()) <= task_images.MAX_WAITING_BYTES
        assert len(dropped) >= 10
    wait_until(lambda: not images._held)
    prepare(range(20, 23))
    wait_until(lambda: len(predictor.embedded) >= 5 + 3)
    service.close()
