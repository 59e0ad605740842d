"""A cache by the names that users of cache managers know; `penstock.Cache` does the work."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from penstock.cache import Cache, CacheStats

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class CacheManager(Generic[K, V]):
    """Values by key; the least recently used leave first.

    Parameters:
        max_size: entries, at most.
        max_memory: what they take in memory, at most, in bytes or as "100M".
        ttl: seconds after which a value is no longer used; None is never.
        load: called with a key that is not there, for the value.
        name: by which figures tell caches apart.

    Raises:
        ConfigError: a bound that makes no sense.
        MissingExtra: cachetools is not installed.
    """

    def __init__(
        self,
        max_size: int = 10_000,
        max_memory: int | str = "100M",
        ttl: float | None = None,
        load: Callable[[K], V] | None = None,
        name: str = "cache manager",
    ) -> None:
        self._loads = load is not None
        self.cache: Cache[K, V] = Cache(load, max_items=max_size, max_bytes=max_memory, ttl=ttl, name=name)

    def get(self, key: K, load: Callable[[K], V] | None = None) -> V | None:
        """The value of a key; where it is not there, what is loaded for it, or None where nothing loads it.

        Parameters:
            key: of the value.
            load: to use instead of the cache's own.
        """
        if load is not None or self._loads:
            return self.cache.get(key, load)
        try:
            return self.cache.get(key)
        except KeyError:
            return None

    def set(self, key: K, value: V) -> None:
        """Keep a value, in place of what was there."""
        self.cache.put(key, value)

    def delete(self, key: K) -> None:
        """Forget a value."""
        self.cache.discard(key)

    def clear(self) -> None:
        """Forget all values."""
        self.cache.clear()

    def stats(self) -> CacheStats:
        """Hits, misses, loads, evictions, items and bytes so far."""
        return self.cache.stats()

    @property
    def hit_rate(self) -> float:
        """Hits as a part of all lookups, 0.0 to 1.0."""
        return self.cache.stats().hit_rate

    def __len__(self) -> int:
        return len(self.cache)

    def __contains__(self, key: object) -> bool:
        return key in self.cache
