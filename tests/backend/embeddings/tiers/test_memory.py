from contextlib import closing

import pytest
from fake_model import FakePredictor, png

from backend.embeddings.tiers.memory import MemoryStore
from backend.images.fetch import ImageLoader
from backend.label_studio import projects
from backend.segmentation.click_service import ClickService
from backend.settings.settings import Settings
from benchmarks.key_points import key_point

FLUSH_S = 10


def test_store_keeps_bytes_until_their_room_is_needed():
    store = MemoryStore(max_bytes=25)
    assert all(store.put(name, bytes(10)) for name in "ab")
    assert store.get("a") == bytes(10)  # used now, unlike "b"
    assert store.put("c", bytes(10))
    assert [store.has(name) for name in "abc"] == [True, False, True]
    assert (store.state().entries, store.state().bytes, store.state().max_bytes) == (2, 20, 25)
    assert (store.state().hits, store.state().misses) == (1, 0)


def test_store_takes_nothing_larger_than_itself():
    store = MemoryStore(max_bytes=5)
    assert not store.put("a", bytes(6))
    assert not store.has("a")


def test_removed_entry_is_gone_and_its_room_is_free():
    store = MemoryStore(max_bytes=10)
    store.put("a", bytes(10))
    store.remove("a")
    store.remove("b")
    assert store.get("a") is None
    assert store.state().bytes == 0


@pytest.fixture
def gpu_click_service(monkeypatch):
    """On a device that has room for one embedding; each address has an image of its own."""
    monkeypatch.setattr(ImageLoader, "fetch", lambda _, uri, **_named: png(40, 50 + len(uri)))
    predictor = FakePredictor()
    predictor.device = "cuda:0"
    with closing(ClickService(predictor, Settings(prefetch_tasks=0, zoom="off"))) as click_service:
        click_service._embedder.cache.max_bytes = 1000
        yield click_service


def click(click_service, photo):
    (answer,) = click_service.predict(
        tasks=[{"id": len(photo), "data": {"image": photo}}],
        project="1.0",
        label_config=projects.LABELING_CONFIG,
        context=[key_point((30, 20), (40, 60))],
    )
    assert answer["result"]
    assert click_service.flush(FLUSH_S)


def test_what_a_gpu_has_no_room_for_is_found_in_memory(gpu_click_service):
    for photo in ("/a", "/bb", "/a", "/bb"):
        click(gpu_click_service, photo)
    assert len(gpu_click_service._predictor.embedded) == 2
    tiers = gpu_click_service.describe()["cache"]
    assert list(tiers) == ["device", "memory"]
    assert (tiers["device"]["entries"], tiers["memory"]["entries"]) == (1, 2)
    assert tiers["memory"]["hits"] == 2


def test_damaged_entry_of_memory_is_a_miss(gpu_click_service):
    click(gpu_click_service, "/a")
    (store,) = gpu_click_service._embedder.slow_tiers._stores
    (name,) = store._kept._values
    store.put(name, store.get(name)[:-9])
    click(gpu_click_service, "/bb")
    click(gpu_click_service, "/a")
    assert len(gpu_click_service._predictor.embedded) == 3


def test_memory_is_one_tier_on_a_cpu(predictor):
    with closing(ClickService(predictor, Settings(zoom="off"))) as click_service:
        assert list(click_service.describe()["cache"]) == ["memory"]
