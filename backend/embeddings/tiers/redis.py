"""The Redis tier: shared by all services that have the same Redis and the same weights."""

import logging
import threading
import time
from collections.abc import Callable
from math import inf
from typing import Any, TypeVar
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from backend.core.text import on_one_line
from backend.embeddings.tiers.base import CacheState, Outage

CONNECT_TIMEOUT_S = 0.5
ANSWER_TIMEOUT_S = 1.0  # without a byte; 2 MB take 20 ms in a network of 1 Gbit/s
WHOLE_ANSWER_S = 3.0  # however many bytes keep coming
CUT_INTERVAL_S = 0.5  # between two looks at whether one takes longer
LOOK_INTERVAL_S = 5.0  # between two looks at whether it is there
PREFIX = "mobilesam:"

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")


class RedisCache:
    """Bytes under names, in a Redis, each until it was not used for a while.

    Whether the Redis is there is looked at in a thread of its own, every few seconds. Once it did
    not answer, nobody asks it until it does: a dead Redis costs the clicks that find out a second
    (three if it answers drop by drop), and the others nothing.

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
        self._asked_at: dict[int, float] = {}  # by whom; of time.monotonic()
        self._threads = [
            threading.Thread(target=work, args=arguments, name="redis", daemon=True)
            for work, arguments in (
                (self._watch, (look_interval_s or LOOK_INTERVAL_S,)),
                (self._cut, ()),
            )
        ]
        for thread in self._threads:
            thread.start()
        self._look()

    def close(self) -> None:
        """End the threads and the connections."""
        self._closing.set()
        for thread in self._threads:
            thread.join()
        self._client.close()

    @property
    def is_up(self) -> bool:
        """Whether it answered last."""
        return self._is_up

    def get(self, name: str, *, expire_s: int | None = None) -> bytes | None:
        """Return what was put last and keep it for as long again, or None."""
        is_note = expire_s is not None  # of clicks; what is counted are look-ups of embeddings
        expire_s = expire_s or self._expire_s
        value = self._ask(lambda: self._client.getex(PREFIX + name, ex=expire_s), None)
        if not isinstance(value, bytes):
            value = None
        if not is_note:
            with self._lock:
                self._hits += value is not None
                self._misses += value is None
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
            return self._in_time(command)
        except redis.ResponseError as error:  # out of memory, read-only, too old, not allowed
            self._unwritable.began(f"failed ({_words(error)}); embeddings are not shared there")
        except Exception as error:  # noqa: BLE001 - what is no Redis has the client raise anything
            self._lost(error)
        return otherwise

    def _in_time(self, command: Callable[[], Any]) -> Any:
        """Run a command; `_cut` ends it if it lasts too long, the client's timeout does not."""
        me = threading.get_ident()
        self._asked_at[me] = time.monotonic()
        try:
            return command()
        finally:
            del self._asked_at[me]

    def _cut(self) -> None:
        """Disconnect everybody when an answer comes too slowly: one thread for all commands."""
        while not self._closing.wait(CUT_INTERVAL_S):
            if min(tuple(self._asked_at.values()), default=inf) < time.monotonic() - WHOLE_ANSWER_S:
                self._client.connection_pool.disconnect()

    def _watch(self, interval_s: float) -> None:
        while not self._closing.wait(interval_s):
            self._look()

    def _look(self) -> None:
        try:
            entries = self._in_time(self._client.dbsize)
            memory = self._in_time(lambda: self._client.info("memory"))
            info = {
                "entries": entries,
                "bytes": memory.get("used_memory"),
                "max_bytes": memory.get("maxmemory") or None,  # 0: no bound
            }
        except redis.ResponseError:  # a user that may not ask this may still get and set
            info = dict.fromkeys(self._info)
        except Exception as error:  # noqa: BLE001 - see `_ask`
            self._lost(error)
            return
        with self._lock:
            self._info = info
        self._is_up = True
        self._gone.ended()

    def _lost(self, error: Exception) -> None:
        self._is_up = False
        self._gone.began(
            f"does not answer as it should ({_words(error)}); images are encoded without it"
        )
        with self._lock:
            self._info = {"entries": None, "bytes": None, "max_bytes": None}
        # The others of the pool are dead too; those in use end by themselves.
        self._client.connection_pool.disconnect(inuse_connections=False)


def _words(error: Exception) -> str:
    return on_one_line(str(error)[:200])
