"""The Redis tier: shared by all services that have the same Redis and the same weights."""

import logging
import threading
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from backend.cache import CacheState, Outage
from backend.transport import on_one_line

CONNECT_TIMEOUT_S = 0.5
ANSWER_TIMEOUT_S = 1.0  # 2 MB take 20 ms in a network of 1 Gbit/s
LOOK_INTERVAL_S = 5.0  # between two looks at whether it is there
PREFIX = "mobilesam:"

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")


class RedisCache:
    """Bytes under names, in a Redis, each until it was not used for a while.

    Whether the Redis is there is looked at in a thread of its own, every few seconds. Once it did
    not answer, nobody asks it until it does: a dead Redis costs the clicks that find out a second,
    and the others nothing.

    Args:
        url: of the Redis, such as redis://localhost:6379/0; a password in it is not logged.
        expire_s: time that an entry is kept after its last use, in seconds.
        look_interval_s: between two looks; LOOK_INTERVAL_S if not given.
    """

    name = "redis"

    def __init__(self, url: str, *, expire_s: int, look_interval_s: float | None = None) -> None:
        self._client = redis.Redis.from_url(
            url,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            socket_timeout=ANSWER_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),  # the clicks do not wait for a second try
        )
        self._expire_s = expire_s
        place = on_one_line(urlsplit(url).netloc.rpartition("@")[2] or urlsplit(url).path)
        self._gone = Outage(log, f"Redis at {place}")
        self._unwritable = Outage(log, f"writing to Redis at {place}")
        self._is_up = False
        self._lock = threading.Lock()
        self._hits = self._misses = 0
        self._info: dict[str, int | None] = {"entries": None, "bytes": None, "max_bytes": None}
        self._closing = threading.Event()
        self._look()
        self._watcher = threading.Thread(
            target=self._watch,
            args=(look_interval_s or LOOK_INTERVAL_S,),
            name="redis",
            daemon=True,
        )
        self._watcher.start()

    def close(self) -> None:
        """End the thread and the connections."""
        self._closing.set()
        self._watcher.join()
        self._client.close()

    def get(self, name: str, *, expire_s: int | None = None) -> bytes | None:
        """Return what was put last and keep it for as long again, or None."""
        expire_s = expire_s or self._expire_s
        value = self._ask(lambda: self._client.getex(PREFIX + name, ex=expire_s), None)
        with self._lock:
            if value is None:
                self._misses += 1
            else:
                self._hits += 1
        return value

    def put(self, name: str, value: bytes, *, expire_s: int | None = None) -> bool:
        """Keep a value, for the usual time if no other is given, and say whether that worked."""
        expire_s = expire_s or self._expire_s
        is_kept = bool(
            self._ask(lambda: self._client.set(PREFIX + name, value, ex=expire_s), False)
        )
        if is_kept:
            self._unwritable.ended()
        return is_kept

    def remove(self, name: str) -> None:
        """Forget a value."""
        self._ask(lambda: self._client.delete(PREFIX + name), 0)

    def has(self, name: str) -> bool:
        """Say whether a value is kept, without counting it as used."""
        return bool(self._ask(lambda: self._client.exists(PREFIX + name), 0))

    def state(self) -> CacheState:
        """Return the numbers as of the last look; they are of the whole Redis, whoever fills it."""
        with self._lock:
            return CacheState(**self._info, hits=self._hits, misses=self._misses)

    def _ask(self, command: Callable[[], Any], otherwise: Answer) -> Any | Answer:
        if not self._is_up:
            return otherwise
        try:
            answer = command()
        except (redis.ConnectionError, redis.TimeoutError) as error:
            self._lost(error)
            return otherwise
        except redis.RedisError as error:  # out of memory, read-only, too old, not allowed
            self._unwritable.began(f"failed ({_words(error)}); embeddings are not shared there")
            return otherwise
        return answer

    def _watch(self, interval_s: float) -> None:
        while not self._closing.wait(interval_s):
            self._look()

    def _look(self) -> None:
        try:
            entries = self._client.dbsize()
            memory = self._client.info("memory")
        except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
            self._lost(error)
            return
        except redis.RedisError:  # a user that may not ask this may still get and set
            entries, memory = None, {}
        with self._lock:
            self._info = {
                "entries": entries,
                "bytes": memory.get("used_memory"),
                "max_bytes": memory.get("maxmemory") or None,  # 0: no bound
            }
        self._is_up = True
        self._gone.ended()

    def _lost(self, error: Exception) -> None:
        self._is_up = False
        self._gone.began(f"does not answer ({_words(error)}); images are encoded without it")
        with self._lock:
            self._info = {"entries": None, "bytes": None, "max_bytes": None}
        # The others of the pool are dead too; those in use end by themselves.
        self._client.connection_pool.disconnect(inuse_connections=False)


def _words(error: Exception) -> str:
    return on_one_line(str(error)[:200])
