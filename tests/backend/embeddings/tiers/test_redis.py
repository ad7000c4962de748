import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from redis_server import RedisServer
from tcp_proxy import TcpProxy, TcpServer
from waiting import DEADLINE_S, wait_until

from backend.embeddings.tiers.redis import ANSWER_TIMEOUT_S, PREFIX, RedisCache

NAME = "0" * 64
LOOK_INTERVAL_S = 0.05


def connect(server, **options):
    return closing(
        RedisCache(server.url, expire_s=100, **({"look_interval_s": LOOK_INTERVAL_S} | options))
    )


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_one_service_finds_what_another_put(redis_process):
    with connect(redis_process) as first, connect(redis_process) as second:
        assert first.put(NAME, b"\0value\xff")
        assert second.has(NAME)
        assert second.get(NAME) == b"\0value\xff"
        assert second.get("1" * 64) is None
        state = second.state()
        assert (state.hits, state.misses) == (1, 1)
        wait_until(lambda: second.state().entries == 1)
        assert second.state().bytes > 0
        second.remove(NAME)
        assert not first.has(NAME)
        second.put("a note", b"x", expire_s=60)
        for note in ("a note", "no note"):  # of clicks; no look-up of an embedding
            second.get(note, expire_s=60)
        assert (second.state().hits, second.state().misses) == (1, 1)


def test_entry_expires_and_each_use_renews_it(redis_process):
    with connect(redis_process) as cache, redis_process.client() as client:
        cache.put(NAME, b"value")
        assert 90 < client.ttl(PREFIX + NAME) <= 100
        client.expire(PREFIX + NAME, 5)
        cache.get(NAME)
        assert 90 < client.ttl(PREFIX + NAME) <= 100


def test_killed_redis_is_one_warning_and_is_used_again_when_it_is_back(redis_process, caplog):
    with connect(redis_process) as cache:
        cache.put(NAME, b"value")
        redis_process.kill()
        for _ in range(20):
            assert cache.get(NAME) is None
            assert not cache.put(NAME, b"value")
        wait_until(lambda: cache.state().entries is None)
        assert len(warnings(caplog)) == 1
        assert f"Redis at 127.0.0.1:{redis_process.port} does not answer" in warnings(caplog)[0]
        redis_process.start()
        wait_until(lambda: cache.put(NAME, b"value again"))
        assert cache.get(NAME) == b"value again"
    assert warnings(caplog)[1:] == [f"Redis at 127.0.0.1:{redis_process.port} works again"]


def test_redis_that_starts_later_than_the_service_is_used(caplog):
    server = RedisServer()
    try:
        with connect(server) as cache:
            assert cache.get(NAME) is None
            server.start()
            wait_until(lambda: cache.put(NAME, b"value"))
    finally:
        server.kill()
    assert len(warnings(caplog)) == 2


def test_dead_redis_is_asked_by_nobody_but_the_watcher(redis_process, monkeypatch):
    with connect(redis_process, look_interval_s=1000) as cache:
        redis_process.kill()
        assert cache.get(NAME) is None
        asked = []
        monkeypatch.setattr(cache._client, "execute_command", lambda *a, **_: asked.append(a))
        assert [cache.get(NAME) for _ in range(10)] == [None] * 10
        assert not cache.put(NAME, b"value")
        assert asked == []


def test_redis_that_hangs_holds_the_clicks_that_ask_it_only_once(redis_process, caplog):
    with connect(redis_process, look_interval_s=1000) as cache:
        cache.put(NAME, b"value")
        redis_process.hang()
        with ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(cache.get, NAME) for _ in range(8)]
            assert [each.result(ANSWER_TIMEOUT_S + DEADLINE_S) for each in asked] == [None] * 8
        assert not cache._is_up
        redis_process.go_on()
        cache._look()
        assert cache.get(NAME) == b"value"
    assert len(warnings(caplog)) == 2


def test_redis_that_takes_no_more_is_one_warning_and_is_still_read(redis_process, caplog):
    with connect(redis_process) as cache, redis_process.client() as client:
        cache.put(NAME, b"value")
        client.config_set("maxmemory", "1mb")
        assert not any(cache.put(str(number) * 64, bytes(2_000_000)) for number in range(1, 4))
        assert cache.get(NAME) == b"value"
        client.config_set("maxmemory", "0")
        assert cache.put(NAME, b"value")
    warning, end = warnings(caplog)
    assert "writing to Redis" in warning
    assert "maxmemory" in warning
    assert end.endswith("works again")


# What an address may answer behind which there is no Redis, or a broken one.
NONSENSE = [
    pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", id="http"),
    pytest.param(b"\xff\xfe\r\n", id="no-type"),
    pytest.param(b"$abc\r\n", id="length-that-is-no-number"),
    pytest.param(b":x\r\n", id="number-that-is-none"),
    pytest.param(b"+OK\r\n", id="ok-to-everything"),
    pytest.param(b"$5\r\nabcdefg\r\n", id="longer-than-it-says"),
    pytest.param(b"_\r\n", id="null"),
    pytest.param(b"*-5\r\n", id="list-of-minus-five"),
    pytest.param(b"-WRONG \xff\r\n", id="error-that-is-no-text"),
]


@pytest.mark.parametrize("nonsense", NONSENSE)
def test_what_is_no_redis_keeps_nothing_and_fails_nobody(nonsense, caplog):
    with TcpServer(lambda _: nonsense) as server, connect(server) as cache:
        for _ in range(3):
            cache._is_up = True  # as if the look had not seen it
            assert cache.get(NAME) is None
            cache._is_up = True
            cache.put(NAME, b"value")
            cache._is_up = True
            cache.has(NAME)
            cache._is_up = True
            cache.remove(NAME)
        assert cache.state().bytes is None
        assert all(thread.is_alive() for thread in cache._threads)
    assert 1 <= len(warnings(caplog)) <= 2


def test_redis_that_answers_drop_by_drop_is_given_up(redis_process, monkeypatch):
    monkeypatch.setattr("backend.embeddings.tiers.redis.WHOLE_ANSWER_S", 0.3)
    monkeypatch.setattr("backend.embeddings.tiers.redis.CUT_INTERVAL_S", 0.05)
    with TcpProxy(redis_process.port) as proxy, connect(proxy, look_interval_s=1000) as cache:
        cache.put(NAME, bytes(100_000))
        proxy.drip()
        assert cache.get(NAME) is None  # 100,000 drops would take half an hour
        assert not cache._is_up
        cache._look()
        assert not cache._is_up
        proxy.flow()
        cache._look()
        assert cache.get(NAME) == bytes(100_000)


@pytest.mark.parametrize("password", ["sesame", None], ids=["with-password", "without"])
def test_password_opens_the_redis_and_is_not_logged(password, caplog):
    server = RedisServer(password="sesame")
    server.start()
    server.password = password
    try:
        with connect(server) as cache:
            assert cache.put(NAME, b"value") == bool(password)
    finally:
        server.password = "sesame"
        server.kill()
    assert len(warnings(caplog)) == (0 if password else 1)
    assert "sesame" not in caplog.text


def test_closed_cache_leaves_no_thread(redis_process):
    before = threading.active_count()
    with connect(redis_process):
        assert threading.active_count() == before + 2
    assert threading.active_count() == before
