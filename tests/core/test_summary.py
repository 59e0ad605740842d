"""What points of many workers come to."""

import msgspec
import pytest

from penstock.core.metrics import (
    COARSE,
    FINE,
    SECONDS,
    SIZES,
    CacheFigures,
    Figures,
    Point,
    QueueFigures,
    Sample,
    TaskFigures,
    histogram,
)
from penstock.core.summary import Spread, Summary, span_for, summarize

NOW = 1_700_000_000.0


def sample(worker: str, ago: float, *, seconds: float = 10.0, memory: float = 0.0, **figures: object) -> Sample:
    return Sample(worker, NOW - ago, Point(seconds, Figures(**figures), memory, 2, 2, 1))


def tasks(*counts: float, task: str = "app.task", queue: str = "default") -> tuple[TaskFigures, ...]:
    return (TaskFigures(task, queue, counts),)


def summary(*samples: Sample, seconds: float = 60.0) -> Summary:
    return summarize(samples, seconds, NOW)


def test_nothing_was_counted() -> None:
    found = summary()
    assert (found.done, found.per_second, found.error_rate, found.workers) == (0, 0.0, 0.0, [])
    assert found.done_per_second == [0.0] * 6
    assert found.exchange_seconds == Spread()
    msgspec.json.encode(found)


def test_throughput_now_is_that_of_the_workers_that_are_there() -> None:
    found = summary(
        sample("gone", 40, tasks=tasks(900)),
        sample("a", 10, tasks=tasks(100)),
        sample("a", 0, tasks=tasks(200), memory=1e8),
        sample("b", 3, tasks=tasks(50), seconds=5),
    )
    assert found.per_second == 20 + 10
    assert found.done == 1250
    assert found.done_per_second == [0.0, 90.0, 0.0, 0.0, 10.0, 25.0]
    assert [(worker.worker, worker.memory, worker.per_second, worker.seconds_ago) for worker in found.workers] == [
        ("a", 100_000_000, 20.0, 0.0), ("b", 0, 10.0, 3.0),
    ]  # fmt: skip


def test_what_failed_is_a_part_of_what_ended() -> None:
    found = summary(sample("a", 5, tasks=tasks(6, 3, 1), deaths=2.0, kills=1.0, troubles=1.0))
    assert (found.done, found.retried, found.dead, found.error_rate) == (6, 3, 1, 0.4)
    assert (found.process_deaths, found.process_kills, found.store_troubles) == (2, 1, 1)


def test_a_task_tells_its_runs_batches_and_calls() -> None:
    figures = TaskFigures(
        "app.store", "orders", (100.0, 5.0), histogram([0.01] * 4, SECONDS), histogram([50, 50], SIZES), histogram([0.2, 0.2], SECONDS)
    )  # fmt: skip
    (task,) = summary(sample("a", 5, tasks=(figures,))).tasks
    assert (task.task, task.queue, task.done, task.retried) == ("app.store", "orders", 100, 5)
    assert task.per_second == pytest.approx(100 / 15)
    assert (task.seconds.count, task.batch_size.mean) == (4, 50)
    assert 0.1 < (task.batch_seconds.p95 or 0) <= 0.25


def test_the_depth_of_a_queue_over_time() -> None:
    found = summary(
        sample("a", 30, queues=(QueueFigures("q", 40.0, histogram([0.5], SECONDS)),)),
        sample("a", 10, queues=(QueueFigures("q", 7.0, histogram([2.0], SECONDS)),)),
        sample("b", 5, tasks=tasks(10, queue="q")),
        sample("b", 0, tasks=tasks(10, queue="r")),
    )
    queue, _ = found.queues
    assert queue.depth == [None, None, 40, None, 7, None]
    # A point is shared out among the steps that it covers.
    assert queue.done_per_second == [0, 0, 0, 0, 0.5, 0.5]
    assert (queue.delay.count, queue.delay.mean) == (2, 1.25)


def test_caches_tell_their_hit_rate_over_the_time_and_what_they_hold_now() -> None:
    found = summary(
        sample("gone", 50, caches=(CacheFigures("c", 10, 90, 5, 100, 1000),)),
        sample("a", 12, caches=(CacheFigures("c", 90, 10, 0, 90, 900),)),
        sample("a", 2, caches=(CacheFigures("c", 0, 0, 0, 80, 800), CacheFigures("idle"))),
    )
    cache, idle = found.caches
    assert (cache.hit_rate, cache.hits, cache.misses, cache.evictions) == (0.5, 100, 100, 5)
    assert (cache.items, cache.bytes) == (80, 800)
    assert idle.hit_rate is None


def test_long_times_are_told_by_the_minute() -> None:
    assert (span_for(300), span_for(3600), span_for(3601)) == (FINE, FINE, COARSE)
    assert summary(seconds=3600).step == 60
    assert summary(seconds=86_400).step == 1440
    assert len(summary(seconds=86_400).done_per_second) == 60


def test_points_of_a_store_whose_clock_is_ahead_are_the_latest() -> None:
    found = summary(sample("a", -30, tasks=tasks(100)))
    assert found.per_second == 10.0
    assert found.workers[0].seconds_ago == 0.0
