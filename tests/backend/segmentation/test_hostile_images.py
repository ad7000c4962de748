"""A file that takes long to decode, and the clicks of everybody else."""

import threading

import pytest
from fake_model import png
from segmenting import CONFIG, DEADLINE_S, SIZE_HW, click, predict

from backend.core.errors import ImageUndecodableError
from backend.core.workers import Urgency
from backend.images.decoders import Decoders
from backend.labeling.parse_config import parse_labeling_config
from benchmarks.hostile_inputs import jpeg_of_scans

SLOW, OTHER = "/data/upload/1/slow.png", "/data/upload/1/other.png"


@pytest.fixture
def held_decoding(monkeypatch, files):
    """Decoding the slow file goes on only when the test says so."""
    begun, go_on = threading.Semaphore(0), threading.Event()
    files.content[SLOW] = png(*SIZE_HW, color=(9, 9, 9))
    decode = Decoders.decode

    def decode_slowly(self, data, **named):
        if data == files.content[SLOW]:
            begun.release()
            assert go_on.wait(DEADLINE_S)
        return decode(self, data, **named)

    monkeypatch.setattr(Decoders, "decode", decode_slowly)
    yield begun
    go_on.set()


def mask_area(prediction):
    (region,) = prediction["result"]
    return len(region["value"]["rle"])


@pytest.mark.parametrize("urgency", [*Urgency])
def test_first_click_on_another_image_does_not_wait_for_a_slow_one(
    click_service, held_decoding, urgency
):
    """Whoever brought it: an annotator, a task that was opened, or a guess."""
    if urgency is Urgency.ANNOTATOR:
        arguments = {"photo": SLOW}
        threading.Thread(
            target=predict, args=(click_service, click(50, 50)), kwargs=arguments, daemon=True
        ).start()
    else:
        task = {"id": 4, "data": {"photo": SLOW}}
        click_service.images.prepare(task, parse_labeling_config(CONFIG), "1.0", urgency)
    assert held_decoding.acquire(timeout=DEADLINE_S)
    other = predict(click_service, click(50, 50), task_id=5, photo=OTHER)
    assert mask_area(other) > 0


def test_jpeg_of_many_scans_is_named_and_the_next_click_is_right(click_service, files):
    files.content[SLOW] = jpeg_of_scans(10_000, 240)
    with pytest.raises(ImageUndecodableError, match="image of task 4: a JPEG of") as refused:
        predict(click_service, click(50, 50), photo=SLOW)
    assert refused.value.reason == "Image not decodable: JPEG takes too long"
    assert mask_area(predict(click_service, click(50, 50), photo=OTHER)) > 0
