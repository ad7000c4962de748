import threading
from contextlib import closing

import numpy as np
import pytest
from fake_model import FakeEmbedding, FakePredictor

from backend.embeddings.slow_tiers import MAX_WAITING_WRITES, SlowTiers
from backend.embeddings.tiers.base import CacheState, EmbeddingKey
from backend.settings.settings import Settings

KEY = EmbeddingKey("fake-1", "a" * 64)
EMBEDDING = FakeEmbedding(np.arange(24, dtype=np.uint8).reshape(2, 4, 3))
DEADLINE_S = 10


class Store:
    """A tier that is a dict; `held` makes its writes wait."""

    def __init__(self, name):
        self.name = name
        self.values = {}
        self.asked = []
        self.written = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.go_on.set()
        self.takes = True

    def get(self, name):
        self.asked.append(name)
        return self.values.get(name)

    def put(self, name, value):
        assert self.go_on.wait(DEADLINE_S)
        if self.takes:
            self.values[name] = value
        self.written.release()
        return self.takes

    def remove(self, name):
        self.values.pop(name, None)

    def has(self, name):
        return name in self.values

    def state(self):
        return CacheState(len(self.values), None, None, 0, 0)


@pytest.fixture
def disk():
    return Store("disk")


@pytest.fixture
def redis():
    return Store("redis")


@pytest.fixture
def stored(disk, redis):
    predictor = FakePredictor()
    return SlowTiers([disk, redis], predictor.pack, predictor.unpack)


def same(found):
    return found is not None and np.array_equal(found.embedding.image, EMBEDDING.image)


def test_written_embedding_is_in_every_tier(stored, disk, redis):
    assert stored.write(KEY, EMBEDDING) == len(*disk.values.values())
    assert stored.has(KEY)
    assert disk.values == redis.values
    assert same(stored.find(KEY))
    assert redis.asked == []


def test_embedding_is_put_in_the_background(stored, disk, redis):
    disk.go_on.clear()
    stored.put(KEY, EMBEDDING)
    assert stored.find(KEY) is None
    disk.go_on.set()
    assert redis.written.acquire(timeout=DEADLINE_S)
    assert same(stored.find(KEY))


def test_what_a_slower_tier_has_is_put_into_the_faster_one(stored, disk, redis):
    stored.write(KEY, EMBEDDING)
    assert disk.written.acquire(timeout=DEADLINE_S)
    disk.values.clear()
    assert same(stored.find(KEY))
    assert disk.written.acquire(timeout=DEADLINE_S)
    assert disk.values == redis.values


def test_embeddings_of_other_models_and_images_are_others(stored):
    stored.write(KEY, EMBEDDING)
    assert stored.find(EmbeddingKey("fake-2", KEY.image_sha256)) is None
    assert stored.find(EmbeddingKey("fake-1", "b" * 64)) is None


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda entry: entry[:0], id="empty"),
        pytest.param(lambda entry: entry[:20], id="inside-the-name"),
        pytest.param(lambda entry: entry[:-1], id="truncated"),
        pytest.param(lambda entry: b"GIF89a" + entry, id="foreign"),
        pytest.param(lambda entry: bytes(32) + entry[32:], id="of-another-image"),
    ],
)
def test_damaged_entry_is_a_miss_and_is_removed(stored, disk, redis, damage):
    stored.write(KEY, EMBEDDING)
    ((name, entry),) = disk.values.items()
    disk.values[name] = damage(entry)
    redis.values[name] = damage(entry)
    assert stored.find(KEY) is None
    assert disk.values == redis.values == {}


def test_damaged_entry_of_one_tier_is_mended_from_the_next(stored, disk, redis):
    stored.write(KEY, EMBEDDING)
    assert disk.written.acquire(timeout=DEADLINE_S)
    ((name, entry),) = disk.values.items()
    disk.values[name] = entry[:-1]
    assert same(stored.find(KEY))
    assert disk.written.acquire(timeout=DEADLINE_S)
    assert disk.values == redis.values


def test_write_says_when_no_tier_took_it(stored, disk, redis):
    disk.takes = False
    assert stored.write(KEY, EMBEDDING) > 0
    redis.takes = False
    assert stored.write(KEY, EMBEDDING) == 0


def test_flush_waits_for_what_was_put_before(stored, disk, redis):
    disk.go_on.clear()
    for number in range(3):
        stored.put(EmbeddingKey("fake-1", str(number)), EMBEDDING)
    assert not stored.flush(timeout_s=0.05)
    disk.go_on.set()
    assert stored.flush(DEADLINE_S)
    assert len(redis.values) == 3


def test_writes_beyond_the_bound_are_dropped(stored, disk, redis):
    disk.go_on.clear()
    for number in range(3 * MAX_WAITING_WRITES):
        stored.put(EmbeddingKey("fake-1", str(number)), EMBEDDING)
    disk.go_on.set()
    assert stored.flush(DEADLINE_S)
    written = len(redis.values)
    assert MAX_WAITING_WRITES <= written <= MAX_WAITING_WRITES + 1


def test_image_of_a_place_is_noted(stored, disk):
    assert stored.noted_image("task 1") is None
    stored.note_image("task 1", "b" * 64)
    assert stored.noted_image("task 1") == "b" * 64
    assert stored.noted_image("task 2") is None
    disk.values = dict.fromkeys(disk.values, b"damaged")
    assert stored.noted_image("task 1") == "b" * 64


def test_without_tiers_there_is_nothing_to_flush():
    assert SlowTiers([], FakePredictor().pack, FakePredictor().unpack).flush(DEADLINE_S)


def test_without_tiers_nothing_is_kept():
    stored = SlowTiers.from_settings(Settings(), FakePredictor())
    stored.put(KEY, EMBEDDING)
    assert stored.write(KEY, EMBEDDING) == 0
    assert stored.find(KEY) is None
    assert not stored.has(KEY)
    assert stored.state() == {}


def test_settings_open_the_tiers(tmp_path, redis_process):
    settings = Settings(cache_dir=str(tmp_path / "cache"), redis_url=redis_process.url)
    stored = SlowTiers.from_settings(settings, FakePredictor())
    with closing(stored):
        assert stored.write(KEY, EMBEDDING)
        assert list(stored.state()) == ["disk", "redis"]
        assert stored.state()["disk"].entries == 1
    with redis_process.client() as client:
        assert client.dbsize() == 1


def test_real_embedding_survives_a_restart(tmp_path, demo_predictor):
    def restarted():
        return SlowTiers.from_settings(Settings(cache_dir=str(tmp_path)), demo_predictor)

    embedding = demo_predictor.embed(np.full((60, 80, 3), 90, np.uint8)).in_half_precision()
    key = EmbeddingKey(demo_predictor.model_id, "a" * 64)
    restarted().write(key, embedding)
    found = restarted().find(key).embedding
    assert found.nbytes == embedding.nbytes
    prompt = {"points_xy": [[30, 30]], "point_labels": [1]}
    first, second = (demo_predictor.predict_object(e, **prompt) for e in (embedding, found))
    assert (first.masks == second.masks).mean() > 0.999
