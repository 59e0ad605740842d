"""The cache by its other names."""

from penstock.processors import CacheManager


def test_the_least_recently_used_leaves_first() -> None:
    cache: CacheManager[str, int] = CacheManager(max_size=2)
    cache.set("a", 1)
    cache.set("b", 2)
    assert cache.get("a") == 1
    cache.set("c", 3)
    assert (cache.get("b"), "a" in cache, len(cache)) == (None, True, 2)
    assert cache.hit_rate == 0.5
    assert cache.stats().evictions == 1
    cache.delete("a")
    assert "a" not in cache
    cache.clear()
    assert len(cache) == 0


def test_what_is_not_there_is_loaded_once() -> None:
    asked: list[str] = []

    def load(key: str) -> int:
        asked.append(key)
        return len(key)

    cache = CacheManager(load=load)
    assert (cache.get("four"), cache.get("four"), cache.get("x", lambda key: 9)) == (4, 4, 9)
    assert asked == ["four"]


def test_it_holds_10_000_items_in_100_mb() -> None:
    cache: CacheManager[int, bytes] = CacheManager()
    for number in range(10_050):
        cache.set(number, b"")
    assert len(cache) == 10_000
    for number in range(20):
        cache.set(-number, bytes(10_000_000))
    assert cache.stats().bytes <= 100 << 20
