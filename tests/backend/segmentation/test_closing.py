"""A service that is closed leaves nothing running."""

import threading

import pytest
from segmenting import CONFIG, click, files, predict  # noqa: F401 - a fixture
from waiting import wait_until

from backend.core.workers import Urgency
from backend.labeling.parse_config import parse_labeling_config
from backend.segmentation.click_service import ClickService
from backend.settings.settings import Settings


@pytest.mark.parametrize("with_disk", [False, True], ids=["memory", "disk"])
@pytest.mark.usefixtures("files")
def test_closed_service_leaves_no_thread(predictor, tmp_path, with_disk):
    before = set(threading.enumerate())
    service = ClickService(predictor, Settings(cache_dir=str(tmp_path) if with_disk else None))
    predict(service, click(50, 50))
    task = {"id": 5, "data": {"photo": "/data/upload/1/b.jpg"}}
    service.images.prepare(task, parse_labeling_config(CONFIG), "1.0", Urgency.BATCH)
    service.close()
    wait_until(lambda: set(threading.enumerate()) <= before)
