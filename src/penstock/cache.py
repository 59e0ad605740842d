"""A cache in front of what is slow to look up: bounded in items and bytes, filled by one load per key at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable, Hashable
from operator import itemgetter
from typing import TYPE_CHECKING, Generic, TypeVar, cast
from weakref import WeakSet

import msgspec

from penstock.core.footprint import footprint
from penstock.core.sizes import parse_bytes
from penstock.errors import ConfigError, JobCancelled, MissingExtra, TimeLimitExceeded

if TYPE_CHECKING:
    from concurrent.futures import Future

    from cachetools import LRUCache

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

#: The bytes that an entry takes beside its key and its value: its places in three hash tables, its size, its tuple.
_ENTRY = 300
#: What ends a load for a reason of its own thread. Who waits for it loads for itself.
_OF_ITS_JOB = (TimeLimitExceeded, JobCancelled)

_caches: WeakSet[Cache[Hashable, object]] = WeakSet()


class CacheStats(msgspec.Struct, frozen=True):
    """What a cache did since it was made, and what it holds.

    Parameters:
        hits: values that were there, or that another caller was loading already.
        misses: values that were not.
        loads: calls of a loader that returned.
        errors: calls of a loader that raised.
        evictions: entries that left for want of room.
        items: entries that are held.
        bytes: what they take, as measured.
    """

    hits: int
    misses: int
    loads: int
    errors: int
    evictions: int
    items: int
    bytes: int

    @property
    def hit_rate(self) -> float:
        """Hits as a part of all lookups, 0.0 to 1.0."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else 0.0


class _Abandoned(Exception):
    """Whoever loaded was stopped; the value is for others to load."""


class _Load:
    """A load under way: who does it, and what it will bring."""

    __slots__ = ("by", "future")

    def __init__(self, by: object) -> None:
        from concurrent.futures import Future

        self.by = by
        self.future: Future[object] = Future()
        # A future that runs can't be cancelled: one of those who wait could cancel it for all.
        self.future.set_running_or_notify_cancel()


class Cache(Generic[K, V]):
    """Values by key; the least recently used leave first.

    Every process has its own. Threads, green threads and coroutines may share it. A value must not be changed by whoever gets it.

    Parameters:
        load: called with a key that is not there, for the value; a function, or a coroutine function for `get_async`. What it
            raises goes to everyone who waits for that key, and is not kept.
        max_items: entries, at most.
        max_bytes: what they take in memory, at most, in bytes or as "100M"; keys, values and the cache's own share are measured.
        ttl: seconds after which a value is loaded anew; None is never.
        name: by which figures tell caches apart.
        size: measures a value in bytes.
        clock: gives the time in seconds.

    Raises:
        ConfigError: a bound that makes no sense.
        MissingExtra: cachetools is not installed.
    """

    def __init__(
        self,
        load: Callable[[K], V | Awaitable[V]] | None = None,
        *,
        max_items: int = 10_000,
        max_bytes: int | str = "100M",
        ttl: float | None = None,
        name: str = "cache",
        size: Callable[[V], int] = footprint,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if max_items < 1:
            raise ConfigError(f"max_items= is 1 or more, not {max_items!r}")
        if ttl is not None and not ttl > 0:
            raise ConfigError(f"ttl= is more than 0 seconds, or None for no end, not {ttl!r}")
        self.name = name
        self._load = load
        self._max_items = max_items
        self._max_bytes = parse_bytes(max_bytes)
        self._ttl = ttl
        self._size = size
        self._clock = clock
        self._lock = threading.Lock()
        self._loads: dict[K, _Load] = {}
        self._hits = self._misses = self._loaded = self._errors = self._evictions = 0
        self._store = self._empty()
        _caches.add(cast("Cache[Hashable, object]", self))

    def get(self, key: K, load: Callable[[K], V | Awaitable[V]] | None = None) -> V:
        """The value of a key. Where it is not there it is loaded, once, however many ask at the same time.

        Parameters:
            key: of the value.
            load: to use instead of the cache's own.

        Raises:
            KeyError: it is not there, and there is nothing to load it with.
            Exception: whatever the loader raised.
        """
        entry = self._fresh(key)
        if entry is not None:
            return entry[0]
        while True:
            mine = _Load(threading.get_ident())
            try:
                other = self._enter(key, mine, load)
                if other is mine:
                    return self._kept(key, mine, self._called(key, load))
            except BaseException as error:
                self._failed(key, mine, error)
                raise
            try:
                return cast("V", other.future.result())
            except _Abandoned:
                continue

    async def get_async(self, key: K, load: Callable[[K], V | Awaitable[V]] | None = None) -> V:
        """Like `get`, and awaits the value where the loader returns an awaitable. A plain loader is called in the event loop."""
        import asyncio

        entry = self._fresh(key)
        if entry is not None:
            return entry[0]
        while True:
            mine = _Load(asyncio.current_task())
            try:
                other = self._enter(key, mine, load)
                if other is mine:
                    found = cast("Callable[[K], V | Awaitable[V]]", load or self._load)(key)
                    value = await found if isinstance(found, Awaitable) else found
                    return self._kept(key, mine, value)
            except BaseException as error:
                self._failed(key, mine, error)
                raise
            try:
                return cast("V", await asyncio.wrap_future(other.future))
            except _Abandoned:
                continue

    def _fresh(self, key: K) -> tuple[V, int, float] | None:
        """The entry of a key, which counts as a hit; None where there is none, or one that has had its time."""
        try:
            with self._lock:
                entry = self._store[key]
                if self._ttl is None or entry[2] > self._clock():
                    self._hits += 1
                    return entry
        except KeyError:
            pass
        return None

    def put(self, key: K, value: V) -> None:
        """Keep a value, in place of what was there. One that alone is larger than the cache is not kept."""
        entry = self._entry(key, value)
        with self._lock:
            self._loads.pop(key, None)
            self._insert(key, entry)

    def discard(self, key: K) -> None:
        """Forget a value, and do not keep one that is being loaded just now: it may be from before whatever has changed."""
        with self._lock:
            self._loads.pop(key, None)
            self._store.pop(key, None)

    def clear(self) -> None:
        """Forget all values."""
        with self._lock:
            self._loads.clear()
            self._store = self._empty()

    def stats(self) -> CacheStats:
        """What the cache did so far, and what it holds."""
        with self._lock:
            return CacheStats(
                self._hits,
                self._misses,
                self._loaded,
                self._errors,
                self._evictions,
                len(self._store),
                int(self._store.currsize),
            )

    def __len__(self) -> int:
        return len(self._store)

    def __contains__(self, key: object) -> bool:
        with self._lock:
            entry = self._store.get(cast("K", key))
            return entry is not None and entry[2] > self._clock()

    def _enter(self, key: K, mine: _Load, load: object) -> _Load:
        """The load to wait for: `mine`, which is the caller's to do from now on, or another's that is under way."""
        with self._lock:
            entry = self._store.get(key)
            if entry is not None and entry[2] > self._clock():
                self._hits += 1
                there = _Load(None)
                there.future.set_result(entry[0])
                return there
            found = self._loads.get(key)
            if found is not None and found.by == mine.by:
                raise ConfigError(
                    f"the load of {key!r} waits for itself: a loader must not get its own key, and coroutines that share "
                    "a cache use get_async"
                )
            if found is not None:
                self._hits += 1
                return found
            self._misses += 1
            if load is None and self._load is None:
                raise KeyError(key)
            self._loads[key] = mine
            return mine

    def _called(self, key: K, load: Callable[[K], V | Awaitable[V]] | None) -> V:
        found = cast("Callable[[K], V | Awaitable[V]]", load or self._load)(key)
        if isinstance(found, Awaitable):
            close = getattr(found, "close", None)
            if close is not None:
                close()
            raise ConfigError("the loader is a coroutine function: use `await cache.get_async(key)`")
        return found

    def _kept(self, key: K, load: _Load, value: V) -> V:
        """Keep what was loaded, unless the key was discarded since, and hand it to those who wait."""
        entry = self._entry(key, value)
        with self._lock:
            self._loaded += 1
            if self._loads.get(key) is load:
                del self._loads[key]
                self._insert(key, entry)
        load.future.set_result(value)
        return value

    def _failed(self, key: K, load: _Load, error: BaseException) -> None:
        """Wake those who wait for a load with its error; where it was only stopped, one of them loads."""
        stopped = not isinstance(error, Exception) or isinstance(error, _OF_ITS_JOB)
        with self._lock:
            if self._loads.get(key) is load:
                self._errors += not stopped
                del self._loads[key]
        if not load.future.done():
            load.future.set_exception(_Abandoned() if stopped else error)

    def _entry(self, key: K, value: V) -> tuple[V, int, float]:
        until = float("inf") if self._ttl is None else self._clock() + self._ttl
        return value, _ENTRY + footprint(key) + self._size(value), until

    def _insert(self, key: K, entry: tuple[V, int, float]) -> None:
        """Put an entry in and make room for it. The lock is held."""
        store = self._store
        try:
            store.pop(key, None)
            if entry[1] > self._max_bytes:
                return
            held = len(store)
            while len(store) >= self._max_items:
                store.popitem()
            store[key] = entry
            self._evictions += held + 1 - len(store)
        except BaseException:
            # A time limit may strike in the middle of cachetools' own bookkeeping: better empty than wrong.
            self._store = self._empty()
            raise

    def _empty(self) -> LRUCache[K, tuple[V, int, float]]:
        try:
            from cachetools import LRUCache
        except ImportError:
            raise MissingExtra("Cache needs cachetools: pip install 'penstock[cache]'") from None
        return LRUCache(self._max_bytes, getsizeof=itemgetter(1))


def caches() -> list[Cache[Hashable, object]]:
    """Every cache of this process that is in use, for whoever exports their figures."""
    return sorted(_caches, key=lambda each: each.name)
