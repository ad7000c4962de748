import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from backend.core.workers import Urgency
from backend.embeddings.embedder import MAX_GUESSES, Embedder
from backend.embeddings.slow_tiers import SlowTiers, StoredEmbedding
from backend.embeddings.tiers.base import EmbeddingKey, LruCache

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


class Stored:
    """The slower tiers: a dict that counts how often it is asked, and can be held."""

    def __init__(self, **values):
        self.values = {key(name): value for name, value in values.items()}
        self.asked = []
        self.put_keys = []
        self.started = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()

    def find(self, key):
        self.asked.append(key)
        self.started.set()
        assert self.go_on.wait(DEADLINE_S)
        value = self.values.get(key)
        return None if value is None else StoredEmbedding(value, "disk")

    def put(self, key, _embedding):
        self.put_keys.append(key)


def embedder_with(stored):
    return Embedder(LruCache(max_bytes=10_000), stored)


@pytest.fixture
def embedder():
    return Embedder(LruCache(max_bytes=10_000), SlowTiers([], repr, repr))


@pytest.fixture
def encoder():
    return Encoder()


def key(name):
    return EmbeddingKey("model", name)


def prepare(embedder, encoder, name, urgency=Urgency.BATCH):
    return embedder.prepare(key(name), encoder.job(name), urgency)


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


def test_embedding_of_a_slower_tier_runs_no_encoder_and_is_kept_in_memory(encoder):
    stored = Stored(a=Value("stored"))
    embedder = embedder_with(stored)
    assert embedder.find_kept(key("a")) is None
    assert embedder.find(key("a"), encoder.job("a")).name == "stored"
    assert embedder.find(key("a"), encoder.job("a")).name == "stored"
    assert embedder.find_kept(key("a")).name == "stored"
    assert encoder.calls == []
    assert stored.asked == [key("a")]


def test_warm_click_asks_no_slower_tier(encoder):
    stored = Stored()
    embedder = embedder_with(stored)
    embedder.find(key("a"), encoder.job("a"))
    assert stored.asked == [key("a")]
    for _ in range(10):
        assert embedder.find_kept(key("a")).name == "a"
        assert embedder.find(key("a"), encoder.job("a")).name == "a"
    assert stored.asked == [key("a")]


def test_computed_embedding_is_put_into_the_slower_tiers_once(encoder):
    stored = Stored()
    embedder = embedder_with(stored)
    embedder.find(key("a"), encoder.job("a"))
    embedder.find(key("b"), encoder.job("b"))  # the encoder's thread is done with the first
    assert stored.put_keys[0] == key("a")
    assert stored.put_keys.count(key("a")) == 1


@pytest.mark.parametrize("is_stored", [True, False], ids=["stored", "not-stored"])
def test_fifty_threads_asking_for_one_image_are_one_look(encoder, is_stored):
    stored = Stored(**({"a": Value("a")} if is_stored else {}))
    embedder = embedder_with(stored)
    stored.go_on.clear()
    with ThreadPoolExecutor(50) as pool:
        answers = [pool.submit(embedder.find, key("a"), encoder.job("a")) for _ in range(50)]
        assert stored.started.wait(DEADLINE_S)
        stored.go_on.set()
        assert {answer.result(DEADLINE_S).name for answer in answers} == {"a"}
    assert stored.asked == [key("a")]
    assert encoder.calls == ([] if is_stored else ["a"])


def test_look_waits_for_no_encode(encoder):
    embedder = embedder_with(Stored(a=Value("a")))
    encoder.hold()
    prepare(embedder, encoder, "running")
    assert encoder.started.wait(DEADLINE_S)
    assert embedder.find(key("a"), encoder.job("a")).name == "a"
    assert encoder.calls == ["running"]
    encoder.go_on.set()


def test_failed_look_reaches_everybody_and_the_next_starts_anew(encoder):
    stored = Stored(a=Value("a"))
    embedder = embedder_with(stored)
    del stored.values
    with pytest.raises(AttributeError):
        embedder.find(key("a"), encoder.job("a"))
    assert embedder.waiting() == 0
    stored.values = {}
    assert embedder.find(key("a"), encoder.job("a")).name == "a"


def test_prepared_image_is_loaded_from_a_slower_tier(encoder):
    embedder = embedder_with(Stored(a=Value("a")))
    prepare(embedder, encoder, "a")
    assert embedder.find_kept(key("a")).name == "a"
    assert encoder.calls == []


def test_dropped_embedding_is_looked_for_again(encoder, monkeypatch):
    stored = Stored()
    embedder = Embedder(LruCache(max_bytes=40), stored)
    embedder.find(key("a"), encoder.job("a"))
    embedder.find(key("b"), encoder.job("b"))  # drops the first
    stored.values = {key("a"): Value("a")}
    assert embedder.find(key("a"), encoder.job("a")).name == "a"
    assert encoder.calls == ["a", "b"]


def test_upcoming_image_is_dropped_while_asked_for_ones_wait(embedder, encoder):
    encoder.hold()
    prepare(embedder, encoder, "running", Urgency.OPENED_TASK)
    assert encoder.started.wait(DEADLINE_S)
    prepare(embedder, encoder, "upcoming 1", Urgency.PREFETCH)
    prepare(embedder, encoder, "batch")
    assert not prepare(embedder, encoder, "upcoming 2", Urgency.PREFETCH)
    assert prepare(embedder, encoder, "upcoming 1", Urgency.PREFETCH)  # it is coming
    encoder.go_on.set()
    embedder.find(key("upcoming 1"), encoder.job("upcoming 1"))
    embedder.find(key("batch"), encoder.job("batch"))
    assert not embedder.has(key("upcoming 2"))
    assert "upcoming 2" not in encoder.calls


def test_opened_task_is_not_dropped_because_guesses_wait(embedder, encoder):
    encoder.hold()
    prepare(embedder, encoder, "running")
    assert encoder.started.wait(DEADLINE_S)
    for number in range(2 * MAX_GUESSES):
        prepare(embedder, encoder, str(number))
    prepare(embedder, encoder, "opened", Urgency.OPENED_TASK)
    assert embedder.has(key("opened"))
    encoder.go_on.set()


def test_image_that_becomes_urgent_is_computed_once_by_several_threads(encoder):
    embedder = Embedder(LruCache(max_bytes=10_000), SlowTiers([], repr, repr), threads=4)
    encoder.hold()
    prepare(embedder, encoder, "a", Urgency.PREFETCH)
    assert encoder.started.wait(DEADLINE_S)
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(embedder.find, key("a"), encoder.job("a")) for _ in range(8)]
        prepare(embedder, encoder, "a", Urgency.OPENED_TASK)
        encoder.go_on.set()
        assert {answer.result(DEADLINE_S).name for answer in answers} == {"a"}
    embedder.find(key("b"), encoder.job("b"))
    assert encoder.calls == ["a", "b"]
