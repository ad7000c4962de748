from dataclasses import dataclass

from backend.embeddings.tiers.base import EmbeddingKey, LruCache


@dataclass
class Value:
    name: str
    nbytes: int = 40


def key(name):
    return EmbeddingKey("model", name)


def filled(*names, max_bytes=100):
    cache = LruCache(max_bytes)
    for name in names:
        cache.put(key(name), Value(name))
    return cache


def test_cache_returns_what_was_put():
    cache = filled("a")
    assert cache.get(key("a")).name == "a"
    assert cache.get(key("b")) is None
    assert cache.get(EmbeddingKey("other model", "a")) is None
    assert (cache.state().hits, cache.state().misses) == (1, 2)


def test_cache_stays_within_its_bytes():
    cache = filled("a", "b", "c")
    assert cache.get(key("a")) is None
    state = cache.state()
    assert (state.entries, state.bytes, state.max_bytes) == (2, 80, 100)


def test_cache_drops_the_least_recently_used_first():
    cache = filled("a", "b")
    cache.get(key("a"))
    cache.put(key("c"), Value("c"))
    assert cache.get(key("b")) is None
    assert cache.get(key("a")).name == "a"


def test_cache_drops_as_many_as_a_large_value_needs():
    cache = filled("a", "b")
    cache.put(key("c"), Value("c", nbytes=100))
    assert cache.state().entries == 1
    assert cache.state().bytes == 100


def test_cache_does_not_keep_what_is_larger_than_itself():
    cache = filled("a")
    cache.put(key("huge"), Value("huge", nbytes=101))
    assert cache.get(key("huge")) is None
    assert cache.get(key("a")).name == "a"


def test_cache_replaces_a_value_without_counting_it_twice():
    cache = filled("a", "a", "a")
    assert cache.state().entries == 1
    assert cache.state().bytes == 40
