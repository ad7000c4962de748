"""Several services that share a Redis or a folder, and one that starts anew."""

from contextlib import ExitStack, closing

import numpy as np
import pytest
from fake_model import FakePredictor, png
from PIL import Image
from replica import SIZE_HW, Replica
from waiting import wait_until

from backend.images.fetch import ImageLoader
from backend.settings.settings import Settings


@pytest.fixture
def replica(monkeypatch):
    """Make replicas that find one photo at every address."""
    monkeypatch.setattr(ImageLoader, "fetch", lambda *_, **__: png(*SIZE_HW))
    with ExitStack() as stack:

        def make(predictor=None, **settings):
            made = Replica(predictor or FakePredictor(), Settings(**settings))
            return stack.enter_context(closing(made))

        yield make


def test_click_on_one_replica_finds_what_another_embedded(replica, redis_process):
    first, second = (replica(redis_url=redis_process.url) for _ in range(2))
    mask = first.click()
    with redis_process.client() as client:
        wait_until(lambda: client.dbsize() == 3)  # the embedding, the object, its logits
    np.testing.assert_array_equal(second.click(), mask)
    assert len(first.predictor.embedded) == 1
    assert second.predictor.embedded == []
    assert second.tier("redis")["hits"] == 1
    assert second.tier("memory")["entries"] == 1


def test_negative_click_refines_what_another_replica_segmented(replica, redis_process):
    first, second = (replica(redis_url=redis_process.url) for _ in range(2))
    mask = first.click()
    smaller = second.click(is_positive=False)
    assert 0 < smaller.sum() < mask.sum()
    assert second.predictor.prompts == [([(60, 50), (60, 50)], [1, 0], None)]
    with redis_process.client() as client:
        wait_until(lambda: client.dbsize() == 4)  # the logits of both masks
        lifetimes = [client.ttl(name) for name in client.scan_iter()]
    assert min(lifetimes) <= 600 < max(lifetimes)  # the object's, the embedding's


def test_further_click_takes_the_mask_of_another_replica_along(replica, redis_process):
    first, second = (replica(redis_url=redis_process.url) for _ in range(2))
    mask = first.click()
    refined = second.click(earlier=[(60, 50)], is_positive=False)
    assert second.predictor.previous == [mask.sum()]
    with redis_process.client() as client:
        for name in client.scan_iter():
            client.set(name, b"damaged")
    third = replica(redis_url=redis_process.url)
    np.testing.assert_array_equal(third.click(earlier=[(60, 50)], is_positive=False), refined)
    assert third.predictor.previous == [None, mask.sum()]  # decoded again, to the same


def test_further_click_is_the_same_on_replicas_that_share_nothing(replica, demo_predictor):
    alone, other = replica(demo_predictor), replica(demo_predictor)
    clicks = [(30, 40), (90, 80), (140, 20)]
    for count in range(3):
        mask = alone.click(earlier=clicks[:count])
    np.testing.assert_array_equal(other.click(earlier=clicks[:2]), mask)


def test_warm_clicks_leave_the_slower_tiers_alone(replica, redis_process, tmp_path):
    one = replica(redis_url=redis_process.url, cache_dir=str(tmp_path))
    one.click()
    before = one.tier("disk"), one.tier("redis")["misses"]
    assert before[1] == 1
    for _ in range(5):
        one.click()
    assert one.tier("memory")["hits"] == 5
    assert one.tier("redis")["misses"] == 1
    assert (one.tier("disk")["hits"], one.tier("disk")["misses"]) == (0, 1)


def test_restarted_service_finds_what_it_embedded(replica, tmp_path):
    first = replica(cache_dir=str(tmp_path))
    mask = first.click()
    wait_until(lambda: first.tier("disk")["entries"] == 1)
    second = replica(cache_dir=str(tmp_path))
    np.testing.assert_array_equal(second.click(), mask)
    assert second.predictor.embedded == []
    assert second.tier("disk")["hits"] == 1


def test_found_in_redis_is_put_onto_the_disk(replica, redis_process, tmp_path):
    first = replica(redis_url=redis_process.url)
    first.click()
    with redis_process.client() as client:
        wait_until(lambda: client.dbsize() == 3)  # the embedding, the object, its logits
    second = replica(redis_url=redis_process.url, cache_dir=str(tmp_path))
    second.click()
    wait_until(lambda: second.tier("disk")["entries"] == 1)
    redis_process.kill()
    third = replica(cache_dir=str(tmp_path))
    third.click()
    assert second.predictor.embedded == third.predictor.embedded == []


def test_clicks_go_on_without_redis_and_share_again_when_it_is_back(
    replica, redis_process, monkeypatch
):
    monkeypatch.setattr("backend.embeddings.tiers.redis.LOOK_INTERVAL_S", 0.05)
    first, second = (replica(redis_url=redis_process.url) for _ in range(2))
    redis_process.kill()
    mask = first.click()
    np.testing.assert_array_equal(second.click(), mask)
    assert len(first.predictor.embedded) == len(second.predictor.embedded) == 1
    redis_process.start()
    wait_until(lambda: first.tier("redis")["entries"] == 0)
    monkeypatch.setattr(ImageLoader, "fetch", lambda *_, **__: png(*SIZE_HW, color=(1, 2, 3)))
    first.click("/data/upload/1/b.jpg")
    with redis_process.client() as client:
        wait_until(lambda: client.dbsize() == 3)  # the embedding, the object, its logits
    wait_until(lambda: second.tier("redis")["entries"] == 3)
    second.click("/data/upload/1/b.jpg")
    assert len(second.predictor.embedded) == 1


def test_damaged_file_is_embedded_again_and_mended(replica, tmp_path):
    first = replica(cache_dir=str(tmp_path))
    mask = first.click()
    wait_until(lambda: first.tier("disk")["entries"] == 1)
    (path,) = tmp_path.glob("*/*.embedding")
    whole = path.read_bytes()
    path.write_bytes(whole[:-7])
    second = replica(cache_dir=str(tmp_path))
    np.testing.assert_array_equal(second.click(), mask)
    assert len(second.predictor.embedded) == 1
    wait_until(lambda: path.exists() and path.read_bytes() == whole)


def test_real_masks_from_another_replica_are_the_same(
    replica, redis_process, demo_predictor, monkeypatch, tmp_path
):
    """Half precision in Redis; the click's mask differs in next to no pixel."""
    y, x = np.mgrid[0:300, 0:400]
    image = np.full((300, 400, 3), 60, np.uint8)
    image[np.hypot(x - 240, y - 150) < 70] = (200, 80, 80)
    Image.fromarray(image).save(tmp_path / "disc.png")
    monkeypatch.setattr(ImageLoader, "fetch", lambda *_, **__: (tmp_path / "disc.png").read_bytes())
    first, second = (replica(demo_predictor, redis_url=redis_process.url) for _ in range(2))
    mask = first.click(size_hw=(300, 400))
    with redis_process.client() as client:
        wait_until(lambda: client.dbsize() == 3)  # the embedding, the object, its logits
    monkeypatch.setattr(demo_predictor, "embed_batch", None)  # it must not be needed
    assert 0 < mask.mean() < 1
    assert (second.click(size_hw=(300, 400)) == mask).mean() > 0.999
