"""Counts what a process does, into the memory that its supervisor reads.

A no-op job takes some microseconds, so nothing is counted when it ends but with its exchange: jobs that followed one another with
the same end are one addition. Of the seconds that a job ran, those below `QUICK` are summed up and shared out.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol
from weakref import WeakKeyDictionary

from penstock.core import canary
from penstock.core.bundle import Bundle
from penstock.core.job import Lease
from penstock.core.metrics import COUNTS, SECONDS, SIZES, counted_as
from penstock.core.outcome import Ending, Outcome
from penstock.events.counters import BATCH_SIZES, CALLS, RUNS, Counters
from penstock.events.emit import BatchEnded, Emitter, Event

#: Seconds below which a job's run is not looked at by itself; also the bound of the first bucket.
QUICK = SECONDS[0]
#: Seconds between two looks at the caches.
_CACHES = 1.0
#: Runs and calls that wait to be counted, at most; the oldest are dropped while the store is away for long.
_WAITING = 100_000
_DONE, _STALE, _FAILED_CALLS = (COUNTS.index(name) for name in ("done", "stale", "failed_calls"))
#: After these a job has run, and not well.
_RAN = frozenset({Ending.RETRY, Ending.SNOOZE, Ending.DEAD, Ending.CANCELLED})

_Key = tuple[str, str]


class CacheStats(Protocol):
    """What a cache says of itself."""

    @property
    def hits(self) -> int:
        """Values that were there."""

    @property
    def misses(self) -> int:
        """Values that were not."""

    @property
    def evictions(self) -> int:
        """Entries that left for want of room."""

    @property
    def items(self) -> int:
        """Entries that are held."""

    @property
    def bytes(self) -> int:
        """What they take."""


class CountedCache(Protocol):
    """A cache with figures."""

    @property
    def name(self) -> str:
        """By which they are told apart."""

    def stats(self) -> CacheStats:
        """What it did so far, and what it holds."""


class Meter:
    """Counts for one process.

    Parameters:
        counters: where.
        caches: gives the caches of the process.
    """

    def __init__(self, counters: Counters, caches: Callable[[], Iterable[CountedCache]]) -> None:
        self._counters = counters
        self._caches = caches
        self._looked_at = float("-inf")
        self._seen: WeakKeyDictionary[CountedCache, tuple[float, float, float]] = WeakKeyDictionary()
        self._names: set[str] = set()
        # Appended to by any thread, and emptied by whoever has the broker.
        self._quick: list[float] = []
        self._runs: deque[tuple[str, str, float]] = deque(maxlen=_WAITING)
        self._calls: deque[BatchEnded] = deque(maxlen=_WAITING)
        self._queues: dict[str, str] = {}
        self._latest: _Key | None = None
        # Tasks whose jobs share calls: none of them has a run of its own.
        self._batched: set[str] = set()
        self._lock = threading.Lock()
        #: Called with the seconds of a run that took less than `QUICK`: a list's append.
        self.quick: Callable[[float], None] = self._quick.append

    def subscribe(self, emitter: Emitter) -> None:
        """Count what an emitter emits."""
        emitter.subscribe(BatchEnded, self._batch_ended)

    def ran(self, lease: Lease, seconds: float) -> None:
        """A job ran for so long; told where it was `QUICK` or more. Safe from any thread.

        What jobs share is told of as the call that it is.
        """
        if type(lease) is Bundle:
            return
        self._runs.append((lease.task, lease.queue, seconds))

    def exchanged(self, outcomes: Sequence[Outcome], stale: Sequence[Outcome], seconds: float, now: float) -> int:
        """An exchange handed in outcomes, of which some came too late.

        Parameters:
            seconds: that it took.
            now: monotonic seconds.

        Returns:
            How many of them were the end of a job, and did not only give it back.
        """
        counters = self._counters
        counters.exchanged(bisect_left(SECONDS, seconds), seconds)
        ended = 0
        for call in list(self._calls):
            self._batched.add(call.task)
        if outcomes:
            ended = len(outcomes) - self._tally(outcomes, {id(outcome) for outcome in stale})
        elif self._runs or self._quick:
            self._time({})
        for _ in range(len(self._calls)):
            self._call(self._calls.popleft())
        if now - self._looked_at > _CACHES:
            self._looked_at = now
            self._look_at_caches()
        return ended

    def close(self) -> None:
        """The process ends: count what its caches did since they were looked at."""
        self._look_at_caches()

    def _tally(self, outcomes: Sequence[Outcome], stale: set[int]) -> int:
        """Count outcomes; returns how many only gave their job back."""
        done: dict[_Key, int] = {}
        ending = Ending.DONE
        task = queue = ""
        run = released = 0
        for outcome in outcomes:
            lease = outcome.lease
            # The most frequent case by far: as the one before.
            if outcome.ending is ending and lease.task == task and lease.queue == queue and not lease.packed:
                run += 1
                continue
            if run:
                done[task, queue] = done.get((task, queue), 0) + run
                run = 0
            task, queue = lease.task, lease.queue
            if outcome.ending is ending and not lease.packed:
                run = 1
            else:
                released += outcome.ending is Ending.RELEASED
                self._special(outcome)
        if run:
            done[task, queue] = done.get((task, queue), 0) + run
        if stale:
            self._count_late(outcomes, stale, done)
        for key, number in done.items():
            if key[0] != canary.TASK:
                self._counters.count(*key, _DONE, number)
                self._queues[key[0]] = key[1]
        if released < len(outcomes) - sum(done.values()):
            _add_failed(outcomes, done)
        self._time(done)
        return released

    def _count_late(self, outcomes: Sequence[Outcome], stale: set[int], done: dict[_Key, int]) -> None:
        """Count those that came too late, and take them out of those that are done."""
        for outcome in outcomes:
            if id(outcome) in stale:
                key = outcome.lease.task, outcome.lease.queue
                self._counters.count(*key, _STALE)
                if outcome.ending is Ending.DONE and not outcome.lease.packed:
                    done[key] -= 1

    def _special(self, outcome: Outcome) -> None:
        """An end that is not that of most: not well, or of a packed row, whose items count."""
        lease = outcome.lease
        key = lease.task, lease.queue
        self._queues[lease.task] = lease.queue
        if not lease.packed:
            self._counters.count(*key, counted_as(outcome.ending))
            return
        rest = 0
        if outcome.ending is not Ending.DONE:
            rest = lease.items if outcome.items is None else outcome.items
            self._counters.count(*key, counted_as(outcome.ending), rest)
        dead = sum(job.dead for job in outcome.follow_ups)
        retried = sum(job.failure is not None and not job.dead for job in outcome.follow_ups)
        done = lease.items - rest - len(outcome.follow_ups)
        for ending, number in (Ending.DEAD, dead), (Ending.RETRY, retried), (Ending.DONE, done):
            if number > 0:
                self._counters.count(*key, counted_as(ending), number)

    def _time(self, ran: dict[_Key, int]) -> None:
        """Count the runs: each that took its time, and the quick ones by the jobs that ended meanwhile.

        A job is handed in a moment before its run is over: without any, what there is belongs to the one before.
        """
        piled: dict[tuple[str, str, int], tuple[int, float]] = {}
        left = {key: n for key, n in ran.items() if key[0] != canary.TASK and key[0] not in self._batched}
        self._latest = next(reversed(left), self._latest)
        while self._runs:
            task, queue, seconds = self._runs.popleft()
            place = task, queue, bisect_left(SECONDS, seconds)
            number, total = piled.get(place, (0, 0.0))
            piled[place] = number + 1, total + seconds
            if (task, queue) in left:
                left[task, queue] -= 1
        for (task, queue, bucket), (number, total) in piled.items():
            if task != canary.TASK:
                self._counters.pile(task, queue, RUNS, bucket, number, total)
        sharing = [(key, number) for key, number in left.items() if number > 0]
        if ran and not left:
            # They were calls that jobs shared, or canaries.
            self._quick.clear()
        if not sharing and self._latest is not None:
            sharing = [(self._latest, 1)]
        quick = len(self._quick)
        if not (quick and sharing):
            return
        seconds = sum(self._quick[:quick])
        del self._quick[:quick]
        jobs = sum(number for _, number in sharing)
        if self._batched:
            # Among them are calls that jobs shared.
            seconds, quick = seconds * min(quick, jobs) / quick, min(quick, jobs)
        rest = quick
        for key, number in sharing:
            share = rest if key is sharing[-1][0] else quick * number // jobs
            rest -= share
            self._counters.pile(*key, RUNS, 0, share, seconds * number / jobs)

    def _batch_ended(self, event: Event) -> None:
        assert isinstance(event, BatchEnded)
        self._calls.append(event)

    def _call(self, call: BatchEnded) -> None:
        queue = self._queues.get(call.task)
        if queue is None:
            self._calls.append(call)  # whose jobs are handed in with the next exchange
            return
        key = call.task, queue
        self._counters.pile(*key, BATCH_SIZES, bisect_left(SIZES, call.size), 1, call.size)
        self._counters.pile(*key, CALLS, bisect_left(SECONDS, call.seconds), 1, call.seconds)
        if not call.ok:
            self._counters.count(*key, _FAILED_CALLS)

    def _look_at_caches(self) -> None:
        """Count what the caches did since the last look; a name's caches are counted together."""
        done: dict[str, list[float]] = {}
        held: dict[str, list[float]] = {}
        for cache in self._caches():
            stats = cache.stats()
            now = stats.hits, stats.misses, stats.evictions
            before = self._seen.get(cache, (0.0, 0.0, 0.0))
            self._seen[cache] = now
            for index, (new, old) in enumerate(zip(now, before, strict=True)):
                done.setdefault(cache.name, [0.0] * 3)[index] += new - old
            holds = held.setdefault(cache.name, [0.0] * 2)
            holds[0] += stats.items
            holds[1] += stats.bytes
        for name in self._names - held.keys():
            self._counters.cached(name, (0.0,) * 3, (0.0,) * 2)
        for name, numbers in done.items():
            self._counters.cached(name, numbers, held[name])
        self._names = set(held)


def _add_failed(outcomes: Iterable[Outcome], ran: dict[_Key, int]) -> None:
    """Add the jobs that failed to those that ran."""
    for outcome in outcomes:
        if outcome.ending in _RAN and not outcome.lease.packed:
            key = outcome.lease.task, outcome.lease.queue
            ran[key] = ran.get(key, 0) + 1
