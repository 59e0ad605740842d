"""What points of many workers come to, over some time: the figures that a person or a program reads."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from penstock.core.metrics import (
    COARSE,
    FINE,
    KEPT,
    SECONDS,
    SIZES,
    Figures,
    Histogram,
    Sample,
    TaskFigures,
    over_time,
    summed,
)

#: Steps of a course over time, about.
_STEPS = 60
#: A point that is younger than so many of its spans tells how a worker is now.
_PRESENT = 2.5


class Spread(msgspec.Struct, frozen=True):
    """Of many values: how many there were, their mean, and what half of them and 95 % of them are not above; None without any."""

    count: int = 0
    mean: float | None = None
    p50: float | None = None
    p95: float | None = None


class TaskSummary(msgspec.Struct, frozen=True):
    """A task's jobs from one queue. Counts are of jobs (of items, where rows are packed); seconds are of single runs and calls."""

    task: str
    queue: str
    per_second: float
    done: int
    retried: int
    dead: int
    cancelled: int
    snoozed: int
    error_rate: float
    seconds: Spread
    batch_size: Spread
    batch_seconds: Spread
    failed_calls: int


class QueueSummary(msgspec.Struct, frozen=True):
    """A queue: its depth at the end of each step (None where nobody looked), the jobs that ended in each (a second), and the seconds
    that its oldest job had waited.
    """

    queue: str
    depth: list[int | None]
    done_per_second: list[float]
    delay: Spread


class CacheSummary(msgspec.Struct, frozen=True):
    """The caches of a name."""

    name: str
    hit_rate: float | None
    hits: int
    misses: int
    evictions: int
    items: int
    bytes: int


class WorkerSummary(msgspec.Struct, frozen=True):
    """A worker as its latest point has it; `seconds_ago` since then."""

    worker: str
    memory: int
    processes: int
    slots: int
    busy: int
    per_second: float
    seconds_ago: float


class Summary(msgspec.Struct, frozen=True):
    """All of it.

    Parameters:
        seconds: that it covers.
        step: seconds between two values of what is told over time, oldest first.
        per_second: jobs that ended well, by the latest points of the workers that are there.
        error_rate: attempts that failed as a part of all that ended, 0.0 to 1.0.
        exchange_seconds: of exchanges with the store.
        process_deaths: of processes that ended by themselves.
        process_kills: of processes that were killed for what a job was over.
        store_troubles: times that the store began to refuse.
    """

    seconds: float
    step: float
    per_second: float
    done: int
    retried: int
    dead: int
    error_rate: float
    done_per_second: list[float]
    queues: list[QueueSummary]
    tasks: list[TaskSummary]
    caches: list[CacheSummary]
    workers: list[WorkerSummary]
    exchange_seconds: Spread
    process_deaths: int
    process_kills: int
    store_troubles: int


def span_for(seconds: float) -> int:
    """The points to ask for, to cover so many seconds."""
    return FINE if seconds <= KEPT[FINE] else COARSE


def summarize(samples: Sequence[Sample], seconds: float, now: float) -> Summary:
    """What the samples come to that ended in the last `seconds` before `now` (epoch seconds)."""
    span = span_for(seconds)
    step = max(1, math.ceil(seconds / _STEPS / span)) * span
    until = max([now, *(sample.at for sample in samples)])
    newest = max((sample.at for sample in samples), default=until)
    # What came after the newest point nobody has told of yet: the last step is not to seem to be without jobs.
    end = newest if until - newest <= _PRESENT * span else until
    since = end - math.ceil(seconds / step) * step
    steps = over_time(samples, since, end, step)
    chosen = [sample for each in steps for sample in each]
    total = summed(sample.point.figures for sample in chosen)
    began = min((sample.at - sample.point.seconds for sample in chosen), default=until)
    covered = max(span, min(seconds, until - began))
    workers = _workers(chosen, until, span)
    return Summary(
        seconds=seconds,
        step=step,
        per_second=sum(worker.per_second for worker in workers),
        done=int(total.count("done")),
        retried=int(total.count("retried")),
        dead=int(total.count("dead")),
        error_rate=_error_rate(total),
        done_per_second=_done_over_time(chosen, since, step, len(steps)),
        queues=_queues(steps, since, step, total),
        tasks=[_task(task, covered) for task in sorted(total.tasks, key=lambda task: task.key)],
        caches=_caches(total, chosen, until, span),
        workers=workers,
        exchange_seconds=_spread(total.exchanges, SECONDS),
        process_deaths=int(total.deaths),
        process_kills=int(total.kills),
        store_troubles=int(total.troubles),
    )


def _done_over_time(
    samples: Sequence[Sample], since: float, step: float, steps: int, queue: str | None = None
) -> list[float]:
    """Jobs that ended well, a second, in each step. Points do not end where steps do: each is shared out among those it covers."""
    found = [0.0] * steps
    for sample in samples:
        done = sum(task.count("done") for task in sample.point.figures.tasks if queue in {None, task.queue})
        seconds = max(sample.point.seconds, 1e-3)
        end = sample.at - since
        for index in range(max(0, int((end - seconds) // step)), min(steps, math.ceil(end / step))):
            overlap = min(end, (index + 1) * step) - max(end - seconds, index * step)
            found[index] += done * max(0.0, overlap) / seconds / step
    return found


def _error_rate(figures: Figures | TaskFigures) -> float:
    failed = figures.count("retried") + figures.count("dead")
    ended = figures.count("done") + failed
    return failed / ended if ended else 0.0


def _spread(values: Histogram, bounds: Sequence[float]) -> Spread:
    return Spread(int(values.count), values.mean, values.quantile(0.5, bounds), values.quantile(0.95, bounds))


def _task(task: TaskFigures, seconds: float) -> TaskSummary:
    return TaskSummary(
        task.task,
        task.queue,
        task.count("done") / seconds,
        int(task.count("done")),
        int(task.count("retried")),
        int(task.count("dead")),
        int(task.count("cancelled")),
        int(task.count("snoozed")),
        _error_rate(task),
        _spread(task.runs, SECONDS),
        _spread(task.sizes, SIZES),
        _spread(task.calls, SECONDS),
        int(task.count("failed_calls")),
    )


def _queues(steps: Sequence[Sequence[Sample]], since: float, step: float, total: Figures) -> list[QueueSummary]:
    samples = [sample for each in steps for sample in each]
    waits = {queue.name: queue.waits for queue in total.queues}
    names = sorted(waits.keys() | {task.queue for task in total.tasks})
    depths = [{queue.name: queue.ready for sample in each for queue in sample.point.figures.queues} for each in steps]
    return [
        QueueSummary(
            name,
            [int(depth[name]) if name in depth else None for depth in depths],
            _done_over_time(samples, since, step, len(steps), name),
            _spread(waits.get(name, Histogram()), SECONDS),
        )
        for name in names
    ]


def _latest(samples: Sequence[Sample]) -> dict[str, Sample]:
    return {sample.worker: sample for sample in sorted(samples, key=lambda sample: sample.at)}


def _workers(samples: Sequence[Sample], until: float, span: int) -> list[WorkerSummary]:
    return [
        WorkerSummary(
            worker,
            int(sample.point.memory),
            int(sample.point.processes),
            int(sample.point.slots),
            int(sample.point.busy),
            sample.point.figures.count("done") / sample.point.seconds if sample.point.seconds > 0 else 0.0,
            until - sample.at,
        )
        for worker, sample in sorted(_latest(samples).items())
        if until - sample.at <= _PRESENT * span
    ]


def _caches(total: Figures, samples: Sequence[Sample], until: float, span: int) -> list[CacheSummary]:
    present = [sample.point.figures for sample in _latest(samples).values() if until - sample.at <= _PRESENT * span]
    held = {cache.name: cache for cache in summed(present).caches}
    found = []
    for cache in sorted(total.caches, key=lambda cache: cache.name):
        asked = cache.hits + cache.misses
        now = held.get(cache.name)
        found.append(
            CacheSummary(
                cache.name,
                cache.hits / asked if asked else None,
                int(cache.hits),
                int(cache.misses),
                int(cache.evictions),
                int(now.items) if now else 0,
                int(now.bytes) if now else 0,
            )
        )
    return found
