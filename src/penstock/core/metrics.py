"""Figures of what workers did: counters and histograms that add up over processes, workers and time.

What is written to a store is read by older and newer versions beside this one: fields are only ever added at the end, and bounds
of buckets never change.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, zip_longest
from typing import TypeVar

import msgspec

from penstock.core.outcome import Ending

#: The upper bounds of the buckets for seconds; what is more goes into one more bucket.
SECONDS = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    300.0, 1800.0,
)  # fmt: skip
#: The same for jobs in a batch.
SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)
#: What is counted of each task: jobs by how they ended (items, where rows are packed), and calls of batch tasks that failed.
COUNTS = ("done", "retried", "dead", "cancelled", "snoozed", "parked", "released", "stale", "failed_calls")
#: What stands for all tasks, or caches, for which there is no room of their own.
OTHERS = "(others)"
#: Seconds that a worker's points cover, and for how many seconds they are kept: an hour in detail, a day by the minute.
FINE, COARSE = 10, 60
KEPT = {FINE: 3600, COARSE: 86_400}


_COUNTED_AS = {
    Ending.DONE: "done",
    Ending.RETRY: "retried",
    Ending.SNOOZE: "snoozed",
    Ending.DEAD: "dead",
    Ending.CANCELLED: "cancelled",
    Ending.PARKED: "parked",
    Ending.RELEASED: "released",
}


def counted_as(ending: Ending) -> int:
    """Which of `COUNTS` an ending is."""
    return COUNTS.index(_COUNTED_AS[ending])


class Histogram(msgspec.Struct, frozen=True, array_like=True):
    """How many values there were in each bucket, without the empty ones at the end, and their sum."""

    counts: tuple[float, ...] = ()
    total: float = 0.0

    @property
    def count(self) -> float:
        """How many values."""
        return sum(self.counts)

    @property
    def mean(self) -> float | None:
        """Of the values; None where there are none."""
        return self.total / self.count if self.counts else None

    def quantile(self, part: float, bounds: Sequence[float]) -> float | None:
        """The value that a part (0 to 1) of all is not above, as near as the buckets tell; None where there are none."""
        if not self.counts:
            return None
        reached = list(accumulate(self.counts))
        wanted = part * reached[-1]
        bucket = next((n for n, sum_ in enumerate(reached) if sum_ >= wanted and self.counts[n]), len(reached) - 1)
        if bucket >= len(bounds):
            return float(bounds[-1])
        if self.counts[bucket] == reached[-1]:
            return self.total / reached[-1]  # all in one bucket: their mean says more than where it lies
        below = reached[bucket] - self.counts[bucket]
        low = bounds[bucket - 1] if bucket else 0.0
        return low + (bounds[bucket] - low) * max(0.0, wanted - below) / self.counts[bucket]


def histogram(values: Iterable[float], bounds: Sequence[float]) -> Histogram:
    """Of some values."""
    counts, total = [0.0] * (len(bounds) + 1), 0.0
    for value in values:
        counts[bisect_left(bounds, value)] += 1
        total += value
    return Histogram(_trimmed(counts), total)


class TaskFigures(msgspec.Struct, frozen=True, array_like=True):
    """Of the jobs of a task from one queue.

    Parameters:
        counts: as `COUNTS` names them.
        runs: seconds that each job ran.
        sizes: jobs in each call of a batch task.
        calls: seconds that each of those took: for a sink, what its database took.
    """

    task: str
    queue: str
    counts: tuple[float, ...] = ()
    runs: Histogram = Histogram()
    sizes: Histogram = Histogram()
    calls: Histogram = Histogram()

    @property
    def key(self) -> tuple[str, str]:
        """What figures of the same kind have in common."""
        return self.task, self.queue

    def count(self, name: str) -> float:
        """One of `COUNTS`."""
        index = COUNTS.index(name)
        return self.counts[index] if index < len(self.counts) else 0.0


class CacheFigures(msgspec.Struct, frozen=True, array_like=True):
    """Of the caches of a name: what they did, and what they hold now in all processes (`items`, `bytes`)."""

    name: str
    hits: float = 0.0
    misses: float = 0.0
    evictions: float = 0.0
    items: float = 0.0
    bytes: float = 0.0

    @property
    def key(self) -> str:
        """What figures of the same kind have in common."""
        return self.name


class QueueFigures(msgspec.Struct, frozen=True, array_like=True):
    """Of a queue: how many jobs were ready when it was last looked at, and the seconds that the oldest of them had waited, at
    each look.
    """

    name: str
    ready: float = 0.0
    waits: Histogram = Histogram()

    @property
    def key(self) -> str:
        """What figures of the same kind have in common."""
        return self.name


class Figures(msgspec.Struct, frozen=True, array_like=True):
    """What a process, a worker or many of them did.

    Parameters:
        exchanges: seconds that each exchange with the store took.
        deaths: processes that ended and should not have.
        kills: processes killed for what a job was over, its time or its memory.
        troubles: times that the store began to refuse.
    """

    tasks: tuple[TaskFigures, ...] = ()
    caches: tuple[CacheFigures, ...] = ()
    queues: tuple[QueueFigures, ...] = ()
    exchanges: Histogram = Histogram()
    deaths: float = 0.0
    kills: float = 0.0
    troubles: float = 0.0

    def count(self, name: str) -> float:
        """One of `COUNTS`, of all tasks."""
        return sum(task.count(name) for task in self.tasks)


class Point(msgspec.Struct, frozen=True, array_like=True):
    """What a worker did in some seconds, and what it had at the end of them.

    Parameters:
        seconds: that it covers; more than usual where the store was away.
        figures: of these seconds alone.
        memory: bytes of all its processes.
        processes: that run.
        slots: that may be used.
        busy: slots in which a job runs.
    """

    seconds: float
    figures: Figures
    memory: float = 0.0
    processes: float = 0.0
    slots: float = 0.0
    busy: float = 0.0


class Sample(msgspec.Struct, frozen=True):
    """A point as it is read back: whose it is, and when its seconds ended, by the store's clock in epoch seconds."""

    worker: str
    at: float
    point: Point


def decoded_sample(worker: str, at: float, point: bytes) -> Sample:
    """A sample of a point as a store keeps it; what a newer version has added is skipped."""
    return Sample(worker, at, msgspec.msgpack.decode(point, type=Point))


def plus(one: Figures, other: Figures) -> Figures:
    """The sum; of what is now (`items` of a cache) the sum as well, of a queue's depth the later (the other's)."""
    return _combined(one, other, 1.0)


def minus(one: Figures, other: Figures) -> Figures:
    """What came between an earlier state (the other) and a later one. What is now is as it is."""
    return _combined(one, other, -1.0)


def changed(figures: Figures) -> Figures:
    """What is not nothing, of a difference: what a point need not say is left out."""
    tasks = (task for task in figures.tasks if task.counts or task.runs.counts or task.calls.counts)
    caches = (cache for cache in figures.caches if cache.hits or cache.misses or cache.items)
    return msgspec.structs.replace(figures, tasks=tuple(tasks), caches=tuple(caches))


def bounded(figures: Figures, most: int) -> Figures:
    """With so many pairs of a task and a queue at most; the rest are summed up under one name."""
    if len(figures.tasks) <= most:
        return figures
    rest = Figures()
    for task in figures.tasks[most - 1 :]:
        rest = plus(rest, Figures((msgspec.structs.replace(task, task=OTHERS, queue=OTHERS),)))
    return msgspec.structs.replace(figures, tasks=(*figures.tasks[: most - 1], *rest.tasks))


def without_holdings(figures: Figures) -> Figures:
    """What a process did that is gone: its caches hold nothing any more."""
    caches = tuple(msgspec.structs.replace(each, items=0.0, bytes=0.0) for each in figures.caches)
    return msgspec.structs.replace(figures, caches=caches)


def summed(figures: Iterable[Figures]) -> Figures:
    """The sum of many."""
    total = Figures()
    for each in figures:
        total = plus(total, each)
    return total


def _combined(one: Figures, other: Figures, sign: float) -> Figures:
    def task(a: TaskFigures | None, b: TaskFigures | None) -> TaskFigures:
        named = a or b
        assert named is not None
        a, b = a or TaskFigures(*named.key), b or TaskFigures(*named.key)
        return TaskFigures(
            *named.key,
            _added(a.counts, b.counts, sign),
            _piled(a.runs, b.runs, sign),
            _piled(a.sizes, b.sizes, sign),
            _piled(a.calls, b.calls, sign),
        )

    def cache(a: CacheFigures | None, b: CacheFigures | None) -> CacheFigures:
        named = a or b
        assert named is not None
        a, b = a or CacheFigures(named.name), b or CacheFigures(named.name)
        later = sign > 0
        return CacheFigures(
            named.name,
            a.hits + sign * b.hits,
            a.misses + sign * b.misses,
            a.evictions + sign * b.evictions,
            a.items + b.items * later,
            a.bytes + b.bytes * later,
        )

    def queue(a: QueueFigures | None, b: QueueFigures | None) -> QueueFigures:
        named = a or b
        assert named is not None
        latest = (b or a) if sign > 0 else (a or b)
        assert latest is not None
        a, b = a or QueueFigures(named.name), b or QueueFigures(named.name)
        return QueueFigures(named.name, latest.ready, _piled(a.waits, b.waits, sign))

    return Figures(
        _joined(one.tasks, other.tasks, lambda each: each.key, task),
        _joined(one.caches, other.caches, lambda each: each.key, cache),
        _joined(one.queues, other.queues, lambda each: each.key, queue),
        _piled(one.exchanges, other.exchanges, sign),
        one.deaths + sign * other.deaths,
        one.kills + sign * other.kills,
        one.troubles + sign * other.troubles,
    )


T = TypeVar("T")


def _joined(
    some: Sequence[T], others: Sequence[T], key: Callable[[T], object], join: Callable[[T | None, T | None], T]
) -> tuple[T, ...]:
    by_key = {key(each): each for each in others}
    found = [join(each, by_key.pop(key(each), None)) for each in some]
    return (*found, *(join(None, each) for each in by_key.values()))


def _piled(one: Histogram, other: Histogram, sign: float) -> Histogram:
    if not other.counts:
        return one
    return Histogram(_added(one.counts, other.counts, sign), one.total + sign * other.total)


def _added(one: Sequence[float], other: Sequence[float], sign: float) -> tuple[float, ...]:
    # Processes are read while they write: what is torn may lack a count, and is never told as less than none.
    return _trimmed([max(0.0, a + sign * b) for a, b in zip_longest(one, other, fillvalue=0.0)])


def _trimmed(counts: Sequence[float]) -> tuple[float, ...]:
    end = len(counts)
    while end and not counts[end - 1]:
        end -= 1
    return tuple(counts[:end])


def over_time(samples: Iterable[Sample], since: float, until: float, step: float) -> list[list[Sample]]:
    """Samples by the step of time that they ended in, oldest first; steps without any are empty."""
    steps: list[list[Sample]] = [[] for _ in range(max(0, math.ceil((until - since) / step)))]
    for sample in samples:
        index = math.ceil((sample.at - since) / step) - 1
        if 0 <= index < len(steps):
            steps[index].append(sample)
    return steps
