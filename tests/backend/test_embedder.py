import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from backend.cache import EmbeddingCache, EmbeddingKey
from backend.embedder import MAX_GUESSES, Embedder
from backend.workers import Urgency

DEADLINE_S = 10


@dataclass
class Value:
    name: str
    nbytes: int = 40


class Encoder:
    """Counts its calls, and can be held to fill the queue."""

    def __init__(self):
        self.calls = []
        self.started = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()

    def job(self, name):
        def compute():
            self.calls.append(name)
            self.started.set()
            assert self.go_on.wait(DEADLINE_S)
            return Value(name)

        return compute

    def hold(self):
        self.started.clear()
        self.go_on.clear()


@pytest.fixture
def embedder():
    return Embedder(EmbeddingCache(max_bytes=10_000))


@pytest.fixture
def encoder():
    return Encoder()


def key(name):
    return EmbeddingKey("model", name)


def prepare(embedder, encoder, name, urgency=Urgency.BATCH):
    embedder.prepare(key(name), encoder.job(name), urgency)


def test_second_request_runs_no_encoder(embedder, encoder):
    first = embedder.find(key("a"), encoder.job("a"))
    assert embedder.find(key("a"), encoder.job("a")) is first
    assert encoder.calls == ["a"]


def test_fifty_threads_asking_for_one_image_run_one_encode(embedder, encoder):
    encoder.hold()
    with ThreadPoolExecutor(50) as pool:
        answers = [pool.submit(embedder.find, key("a"), encoder.job("a")) for _ in range(50)]
        assert encoder.started.wait(DEADLINE_S)
        encoder.go_on.set()
        names = {answer.result(DEADLINE_S).name for answer in answers}
    assert names == {"a"}
    assert encoder.calls == ["a"]


def test_annotator_overtakes_guesses(embedder, encoder):
    encoder.hold()
    prepare(embedder, encoder, "running")
    assert encoder.started.wait(DEADLINE_S)
    for name in ("guess 1", "guess 2", "guess 3"):
        prepare(embedder, encoder, name)
    prepare(embedder, encoder, "opened", Urgency.OPENED_TASK)
    submitted, submit = threading.Event(), embedder._encoder.submit

    def submit_and_tell(*arguments):
        submit(*arguments)
        submitted.set()

    embedder._encoder.submit = submit_and_tell
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(embedder.find, key("guess 3"), encoder.job("guess 3"))
        assert submitted.wait(DEADLINE_S)
        encoder.go_on.set()
        assert waiting.result(DEADLINE_S).name == "guess 3"
    for name in ("guess 1", "guess 2"):
        embedder.find(key(name), encoder.job(name))
    assert encoder.calls == ["running", "guess 3", "opened", "guess 1", "guess 2"]


def test_failure_reaches_everybody_and_the_next_try_starts_anew(embedder, encoder):
    def fail():
        raise OSError("broken image")

    with pytest.raises(OSError, match="broken image"):
        embedder.find(key("a"), fail)
    assert embedder.find(key("a"), encoder.job("a")).name == "a"
    assert embedder.waiting() == 0


def test_prepared_image_is_found_without_another_encode(embedder, encoder):
    prepare(embedder, encoder, "a")
    assert embedder.find(key("a"), encoder.job("a")).name == "a"
    assert encoder.calls == ["a"]


def test_guesses_beyond_the_bound_are_dropped(embedder, encoder):
    encoder.hold()
    prepare(embedder, encoder, "running")
    assert encoder.started.wait(DEADLINE_S)
    for number in range(2 * MAX_GUESSES):
        prepare(embedder, encoder, str(number))
    assert embedder.waiting() == 1 + MAX_GUESSES
    encoder.go_on.set()
