from backend.core.ttl_map import TtlMap


def test_map_gives_what_was_put_last():
    recent = TtlMap(capacity=2)
    recent.put("a", 1, lifetime_s=60)
    recent.put("a", 2, lifetime_s=60)
    assert recent.get("a") == 2
    assert recent.get("b") is None


def test_entry_ends_after_its_lifetime():
    recent = TtlMap(capacity=2)
    recent.put("a", 1, lifetime_s=0)
    assert recent.get("a") is None


def test_full_map_drops_the_oldest_entry():
    recent = TtlMap(capacity=2)
    for key in ("a", "b", "a", "c"):
        recent.put(key, key, lifetime_s=60)
    assert [recent.get(key) for key in ("a", "b", "c")] == ["a", None, "c"]
