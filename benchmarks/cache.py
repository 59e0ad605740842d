"""The cache: a hit, and a day's lookups."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

from benchmarks.figures import Figure, alone, alternate
from penstock import Cache


def run(quick: bool) -> list[Figure]:
    """A hit beside `functools.lru_cache`, with a TTL, and a load of a value that is not there."""
    from functools import lru_cache

    count = 20_000 if quick else 200_000
    repeats = 5 if quick else 15
    keys = [f"S{number % 1000}" for number in range(count)]
    mine: Cache[str, str] = Cache(str)
    timed: Cache[str, str] = Cache(str, ttl=3600)

    def each(get: Callable[[str], str]) -> float:
        began = time.perf_counter()
        for key in keys:
            get(key)
        return (time.perf_counter() - began) / count * 1e6

    def missed() -> float:
        empty: Cache[str, str] = Cache(str, max_items=500)  # a cycle of 1,000 keys never finds one
        return each(empty.get)

    bare = lru_cache(10_000)(str)
    each(mine.get), each(timed.get), each(bare)
    hits = alternate(repeats, lambda: each(mine.get), lambda: each(bare))
    return [
        hits.figure("a hit of the cache, beside functools.lru_cache", "us", "< 2 us", lambda s: median(s.ours) < 2),
        alone(
            "a hit of the cache, with a ttl", "us", [each(timed.get) for _ in range(repeats)], "< 2 us", lambda v: v < 2
        ),
        alone("a miss, loaded, measured, and another evicted", "us", [missed() for _ in range(5)], "", lambda v: True),
    ]
