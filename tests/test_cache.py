"""The cache: bounds, one load per key, and what becomes of loads that fail or are stopped."""

import asyncio
import gc
import subprocess
import sys
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import Cache
from penstock.cache import caches
from penstock.errors import ConfigError, TimeLimitExceeded


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_value_is_loaded_once():
    asked: list[str] = []
    cache: Cache[str, int] = Cache(lambda key: asked.append(key) or len(key))
    assert [cache.get("abc"), cache.get("abc"), cache.get("d")] == [3, 3, 1]
    assert asked == ["abc", "d"]
    stats = cache.stats()
    assert (stats.hits, stats.misses, stats.loads, stats.items) == (1, 2, 2, 2)
    assert stats.hit_rate == pytest.approx(1 / 3)


def test_a_cache_that_nobody_asked_has_a_hit_rate():
    assert Cache[str, int]().stats().hit_rate == 0.0


def test_without_a_loader_a_key_that_is_not_there_is_a_key_error():
    cache: Cache[str, int] = Cache()
    with pytest.raises(KeyError, match="x"):
        cache.get("x")
    assert cache.get("x", len) == 1
    assert cache.stats().errors == 0


def test_none_is_a_value():
    asked: list[str] = []
    cache: Cache[str, None] = Cache(asked.append)
    assert cache.get("x") is None
    assert cache.get("x") is None
    assert asked == ["x"]


def test_the_least_recently_used_leaves():
    cache: Cache[int, int] = Cache(lambda key: key, max_items=2)
    for key in (1, 2, 1, 3):
        cache.get(key)
    assert [key in cache for key in (1, 2, 3)] == [True, False, True]
    assert cache.stats().evictions == 1


def test_bytes_are_bounded_and_what_is_larger_than_all_is_not_kept():
    cache: Cache[int, bytes] = Cache(lambda key: b"x" * key, max_bytes=10_000)
    assert len(cache.get(20_000)) == 20_000
    assert len(cache) == 0
    for key in range(3000, 3010):
        cache.get(key)
    assert len(cache) == 2
    assert cache.stats().bytes <= 10_000


def test_the_measured_size_is_what_python_allocates():
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        cache: Cache[str, list[str]] = Cache(lambda key: [key + str(number) for number in range(10)])
        for number in range(1000):
            cache.get(f"instrument {number}")
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert cache.stats().bytes == pytest.approx(taken, rel=0.25)


def test_a_value_is_loaded_anew_after_its_ttl():
    clock, asked = Clock(), []
    cache: Cache[str, int] = Cache(lambda key: asked.append(key) or len(asked), ttl=10, clock=clock)
    assert cache.get("x") == 1
    clock.now += 9.9
    assert cache.get("x") == 1
    clock.now += 0.1
    assert "x" not in cache
    assert cache.get("x") == 2


def test_fifty_threads_share_one_load():
    asked: list[str] = []
    others, loaded = threading.Barrier(50), threading.Event()

    def load(key: str) -> int:
        asked.append(key)
        assert loaded.wait(30)
        return 7

    cache: Cache[str, int] = Cache(load)

    def get() -> int:
        others.wait(30)
        return cache.get("x")

    with ThreadPoolExecutor(50) as threads:
        futures = [threads.submit(get) for _ in range(50)]
        while cache.stats().hits < 49:
            threading.Event().wait(0.001)
        loaded.set()
        assert [future.result() for future in futures] == [7] * 50
    assert asked == ["x"]


def waiting_for(cache: Cache[str, int], count: int, loaded: threading.Event, get) -> list[object]:
    """What `count` threads get that ask while one loads, once it goes on."""
    with ThreadPoolExecutor(count) as threads:
        futures = [threads.submit(get) for _ in range(count)]
        while cache.stats().hits < count - 1:
            threading.Event().wait(0.001)
        loaded.set()
        return [future.exception() or future.result() for future in futures]


def test_an_error_goes_to_all_who_wait_and_is_not_kept():
    asked: list[str] = []
    loaded = threading.Event()

    def load(key: str) -> int:
        asked.append(key)
        if len(asked) == 1:
            loaded.wait(30)
            raise LookupError("no such instrument")
        return 7

    cache: Cache[str, int] = Cache(load)
    ended = waiting_for(cache, 5, loaded, lambda: cache.get("x"))
    assert {str(each) for each in ended} == {"no such instrument"}
    assert cache.get("x") == 7
    assert cache.stats().errors == 1


def test_a_load_that_a_time_limit_stopped_is_done_by_another():
    asked: list[str] = []
    loaded = threading.Event()

    def load(key: str) -> int:
        asked.append(key)
        if len(asked) == 1:
            loaded.wait(30)
            raise TimeLimitExceeded("of the job that loads")
        return 7

    cache: Cache[str, int] = Cache(load)
    ended = waiting_for(cache, 5, loaded, lambda: cache.get("x"))
    assert sorted(map(repr, ended)) == ["7"] * 4 + ["TimeLimitExceeded('of the job that loads')"]
    assert len(asked) == 2


def test_what_was_discarded_while_it_was_loaded_is_not_kept():
    cache: Cache[str, int] = Cache()

    def load(key: str) -> int:
        cache.discard(key)
        return 1

    assert cache.get("x", load) == 1
    assert "x" not in cache

    def beaten(key: str) -> int:
        cache.put(key, 5)
        return 1

    assert cache.get("x", beaten) == 1
    assert cache.get("x") == 5
    cache.clear()
    assert len(cache) == 0


def test_a_loader_that_gets_its_own_key_says_so():
    def load(key: str) -> int:
        return cache.get(key)

    cache: Cache[str, int] = Cache(load)
    with pytest.raises(ConfigError, match="waits for itself"):
        cache.get("x")


def test_a_coroutine_function_needs_get_async():
    async def load(key: str) -> int:
        return 1

    cache: Cache[str, int] = Cache(load)
    with pytest.raises(ConfigError, match="get_async"):
        cache.get("x")
    assert asyncio.run(cache.get_async("x")) == 1
    assert cache.get("x") == 1


def test_coroutines_share_one_load_and_one_that_is_cancelled_leaves_it_to_another():
    asked: list[int] = []

    async def story() -> list[object]:
        loading, loaded = asyncio.Event(), asyncio.Event()

        async def load(key: str) -> int:
            asked.append(len(asked))
            loading.set()
            await loaded.wait()
            return len(asked)

        cache: Cache[str, int] = Cache(load)
        first = asyncio.create_task(cache.get_async("x"))
        await loading.wait()
        rest = [asyncio.create_task(cache.get_async("x")) for _ in range(20)]
        await asyncio.sleep(0)
        assert cache.stats().hits == 20
        rest[0].cancel()
        first.cancel()
        loaded.set()
        return await asyncio.gather(first, *rest, return_exceptions=True)

    ended = asyncio.run(story())
    assert [type(each) for each in ended[:2]] == [asyncio.CancelledError] * 2
    assert ended[2:] == [2] * 19
    assert asked == [0, 1]


def test_a_coroutine_waits_for_the_load_of_a_thread():
    loading, loaded = threading.Event(), threading.Event()

    def load(key: str) -> int:
        loading.set()
        loaded.wait(30)
        return 3

    cache: Cache[str, int] = Cache(load)

    async def story() -> int:
        other = asyncio.create_task(cache.get_async("x"))
        await asyncio.sleep(0)
        assert cache.stats().hits == 1
        loaded.set()
        return await other

    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(cache.get, "x")
        loading.wait(30)
        assert asyncio.run(story()) == 3
        assert first.result() == 3


GREEN = """
from gevent import monkey; monkey.patch_all()
import gevent
from penstock import Cache
asked = []
def load(key):
    asked.append(key)
    gevent.sleep(0.01)
    return len(asked)
cache = Cache(load)
green = [gevent.spawn(cache.get, "x") for _ in range(100)]
gevent.joinall(green, timeout=20, raise_error=True)
assert [each.value for each in green] == [1] * 100, green
killed = gevent.spawn(cache.get, "y"); gevent.sleep(0)
other = gevent.spawn(cache.get, "y"); gevent.sleep(0)
killed.kill()
assert other.get(timeout=20) == 3
assert asked == ["x", "y", "y"]
"""


def test_green_threads_share_one_load():
    subprocess.run([sys.executable, "-c", GREEN], check=True, timeout=60)


def test_many_threads_on_few_keys_stay_within_the_bounds():
    cache: Cache[int, bytes] = Cache(lambda key: b"x" * key, max_items=20, max_bytes=30_000)

    def work(seed: int) -> None:
        for step in range(300):
            key = (seed * 7919 + step * step) % 97
            assert len(cache.get(key * 20)) == key * 20
            if step % 50 == seed:
                cache.discard(key * 20)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    stats = cache.stats()
    assert stats.hits + stats.misses == 2400
    assert stats.items <= 20
    assert stats.bytes <= 30_000


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 2000)), max_size=60))
def test_never_beyond_its_bounds(puts):
    cache: Cache[int, bytes] = Cache(max_items=7, max_bytes=8000)
    for key, length in puts:
        cache.put(key, b"x" * length)
        assert len(cache) <= 7
        assert cache.stats().bytes <= 8000
        assert cache.get(key) == b"x" * length


@pytest.mark.parametrize("given", [{"max_items": 0}, {"max_bytes": 0}, {"max_bytes": "much"}, {"ttl": 0}, {"ttl": -1}])
def test_bounds_that_make_no_sense(given):
    with pytest.raises(ConfigError):
        Cache(**given)


def test_the_caches_of_a_process_are_known_by_name():
    mine: Cache[str, int] = Cache(name="instruments")
    assert mine in caches()
    assert "instruments" in [cache.name for cache in caches()]


def test_without_cachetools_the_message_says_what_to_install():
    code = "import sys; sys.modules['cachetools'] = None\nfrom penstock import Cache\nCache()"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "MissingExtra: Cache needs cachetools: pip install 'penstock[cache]'" in ended.stderr
