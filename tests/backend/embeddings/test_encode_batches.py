import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from fake_model import FakePredictor

from backend.embeddings import encode_batches
from backend.embeddings.encode_batches import EncodeBatches

DEADLINE_S = 10


class BatchPredictor(FakePredictor):
    """Notes its batches, refuses black images, and can be held in the middle of one."""

    batch_size = 4

    def __init__(self):
        super().__init__()
        self.batches = []
        self.at_once = 0
        self.go_on = threading.Event()
        self.go_on.set()

    def embed_batch(self, images):
        self.at_once += 1
        assert self.at_once == 1, "two batches at once"
        self.batches.append(len(images))
        self.has_embedded.set()
        assert self.go_on.wait(DEADLINE_S)
        self.at_once -= 1
        if not all(image.any() for image in images):
            raise ValueError("black")
        return super().embed_batch(images)


def image(value):
    return np.full((2, 2, 3), value, np.uint8)


@pytest.fixture
def predictor():
    return BatchPredictor()


@pytest.fixture
def held(predictor):
    """Batches of a predictor that is at work on one image until the test lets it go on."""
    batches = EncodeBatches(predictor)
    predictor.go_on.clear()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(batches.embed, lambda: image(255))
        assert predictor.has_embedded.wait(DEADLINE_S)
        yield batches
        predictor.go_on.set()
        first.result(DEADLINE_S)


def ask(pool, batches, values):
    """Ask from a thread for each value; return the futures when all images are decoded."""
    asked = [pool.submit(batches.embed, lambda value=value: image(value)) for value in values]
    with batches._changed:
        assert batches._changed.wait_for(lambda: len(batches._waiting) == len(values), DEADLINE_S)
    return asked


def test_lone_image_is_a_batch_of_its_own(predictor):
    assert EncodeBatches(predictor).embed(lambda: image(7)).image[0, 0, 0] == 7
    assert predictor.batches == [1]


def test_images_that_come_during_a_batch_are_the_next_ones(predictor, held):
    with ThreadPoolExecutor(10) as pool:
        asked = ask(pool, held, range(1, 11))
        predictor.go_on.set()
        values = [future.result(DEADLINE_S).image[0, 0, 0] for future in asked]
    assert values == list(range(1, 11))
    assert predictor.batches == [1, 4, 4, 2]


def test_only_the_image_at_fault_fails(predictor, held):
    with ThreadPoolExecutor(4) as pool:
        asked = ask(pool, held, [1, 0, 3])
        predictor.go_on.set()
        assert asked[0].result(DEADLINE_S).image[0, 0, 0] == 1
        with pytest.raises(ValueError, match="black"):
            asked[1].result(DEADLINE_S)
        assert asked[2].result(DEADLINE_S).image[0, 0, 0] == 3


def test_batch_waits_for_an_image_that_is_being_decoded(predictor, monkeypatch):
    monkeypatch.setattr(encode_batches, "GATHER_S", DEADLINE_S)
    batches = EncodeBatches(predictor)
    is_decoding, may_end = threading.Event(), threading.Event()

    def decode_slowly():
        is_decoding.set()
        assert may_end.wait(DEADLINE_S)
        return image(2)

    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(batches.embed, decode_slowly)
        assert is_decoding.wait(DEADLINE_S)
        (quick,) = ask(pool, batches, [1])
        may_end.set()
        assert quick.result(DEADLINE_S).image[0, 0, 0] == 1
        assert slow.result(DEADLINE_S).image[0, 0, 0] == 2
    assert predictor.batches == [2]


def test_image_that_cannot_be_decoded_keeps_nobody_waiting(predictor, monkeypatch):
    monkeypatch.setattr(encode_batches, "GATHER_S", DEADLINE_S)
    batches = EncodeBatches(predictor)

    def fail():
        raise OSError("broken image")

    with pytest.raises(OSError, match="broken image"):
        batches.embed(fail)
    assert batches.embed(lambda: image(1)).image[0, 0, 0] == 1
    assert predictor.batches == [1]


def test_images_go_one_by_one_where_the_device_gains_nothing(predictor):
    predictor.batch_size = 1
    batches = EncodeBatches(predictor)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(batches.embed, lambda: image(1)) for _ in range(8)]
        assert len({id(future.result(DEADLINE_S)) for future in asked}) == 8
    assert predictor.batches == [1] * 8
