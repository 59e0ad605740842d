"""Figures that add up."""

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.metrics import (
    OTHERS,
    SECONDS,
    SIZES,
    CacheFigures,
    Figures,
    Histogram,
    Point,
    QueueFigures,
    Sample,
    TaskFigures,
    bounded,
    changed,
    counted_as,
    decoded_sample,
    histogram,
    minus,
    over_time,
    plus,
    summed,
    without_holdings,
)
from penstock.core.outcome import Ending


def done(number: float, task: str = "app.task", queue: str = "default") -> Figures:
    return Figures((TaskFigures(task, queue, (number,)),))


def sample(worker: str, at: float, number: float, seconds: float = 10.0) -> Sample:
    return Sample(worker, at, Point(seconds, done(number)))


def test_every_ending_is_counted_as_something_else() -> None:
    assert len({counted_as(ending) for ending in Ending}) == len(Ending)


def test_values_go_into_the_first_bucket_that_holds_them() -> None:
    assert histogram([0.0, 0.0001, 0.0002, 5000.0], SECONDS) == Histogram((2.0, 1.0, *[0.0] * 18, 1.0), 5000.0003)
    assert histogram([], SECONDS) == Histogram()


@given(st.lists(st.floats(0.0, 1700.0), min_size=1, max_size=200), st.floats(0.0, 1.0))
def test_a_quantile_is_in_the_bucket_of_the_true_one(values: list[float], part: float) -> None:
    found = histogram(values, SECONDS).quantile(part, SECONDS)
    assert found is not None
    true = sorted(values)[max(0, -(-int(part * len(values) * 1e9) // 10**9) - 1)]
    above = next(bound for bound in SECONDS if true <= bound)
    below = max((bound for bound in SECONDS if bound < true), default=0.0)
    assert below * (1 - 1e-9) <= found <= above * (1 + 1e-9)


def test_what_is_beyond_the_buckets_is_told_as_the_last_bound() -> None:
    assert histogram([1e6], SIZES).quantile(0.5, SIZES) == SIZES[-1]
    assert Histogram().quantile(0.5, SIZES) is None
    assert Histogram().mean is None
    assert histogram([1, 3], SIZES).mean == 2.0
    assert histogram([1000, 1000], SIZES).quantile(0.5, SIZES) == 1000


def test_figures_add_up_by_task_queue_and_cache() -> None:
    one = Figures(
        (TaskFigures("a", "q", (1.0, 2.0), histogram([0.01], SECONDS)), TaskFigures("a", "r", (5.0,))),
        (CacheFigures("c", 10, 2, 1, 100, 1000),),
        (QueueFigures("q", 7.0, histogram([0.5], SECONDS)),),
        deaths=1.0,
    )
    other = Figures(
        (TaskFigures("b", "q", (1.0,)), TaskFigures("a", "q", (1.0,), histogram([0.01, 2.0], SECONDS))),
        (CacheFigures("c", 1, 1, 0, 50, 500),),
        (QueueFigures("q", 3.0, histogram([0.5], SECONDS)),),
        kills=2.0,
    )
    total = plus(one, other)
    assert [(task.key, task.counts) for task in total.tasks] == [
        (("a", "q"), (2.0, 2.0)), (("a", "r"), (5.0,)), (("b", "q"), (1.0,)),
    ]  # fmt: skip
    assert total.tasks[0].runs.counts == histogram([0.01, 0.01, 2.0], SECONDS).counts
    assert total.tasks[0].runs.total == pytest.approx(2.02)
    assert total.caches == (CacheFigures("c", 11, 3, 1, 150, 1500),)
    assert total.queues == (QueueFigures("q", 3.0, histogram([0.5, 0.5], SECONDS)),)
    assert (total.deaths, total.kills, total.count("done")) == (1.0, 2.0, 8.0)
    assert summed([one, other]) == total


def test_the_difference_of_two_states_is_what_came_between() -> None:
    before = plus(done(5), Figures(caches=(CacheFigures("c", 10, 2, 0, 7, 70),), queues=(QueueFigures("q", 9.0),)))
    after = plus(before, plus(done(2), Figures(caches=(CacheFigures("c", 4, 1, 0, 1, 10),))))
    between = minus(after, before)
    assert between.count("done") == 2.0
    assert between.caches == (CacheFigures("c", 4, 1, 0, 8, 80),)
    assert between.queues == (QueueFigures("q", 9.0),)
    assert minus(before, after).count("done") == 0.0


def test_what_has_not_changed_is_left_out() -> None:
    busy = Figures(
        (TaskFigures("a", "q", (1.0,)), TaskFigures("b", "q", (2.0,))), (CacheFigures("c", 1), CacheFigures("d"))
    )
    later = plus(busy, Figures((TaskFigures("b", "q", (1.0,)),)))
    assert [task.task for task in changed(minus(later, busy)).tasks] == ["b"]
    assert changed(minus(later, busy)).caches == ()


def test_ever_more_tasks_share_a_name() -> None:
    many = Figures(tuple(TaskFigures(f"task.{n}", "q", (1.0,)) for n in range(10)))
    assert bounded(many, 10) is many
    few = bounded(many, 4)
    assert [(task.task, task.count("done")) for task in few.tasks] == [
        ("task.0", 1), ("task.1", 1), ("task.2", 1), (OTHERS, 7),
    ]  # fmt: skip
    assert bounded(plus(few, many), 4).count("done") == 20


def test_a_cache_that_is_gone_holds_nothing() -> None:
    assert without_holdings(Figures(caches=(CacheFigures("c", 4, 1, 0, 8, 80),))).caches == (CacheFigures("c", 4, 1),)


def test_samples_are_parted_by_the_step_that_they_ended_in() -> None:
    samples = [sample("a", at, at) for at in (100, 101, 110, 111, 131)]
    steps = over_time(samples, 100, 130, 10)
    assert [[each.at for each in step] for step in steps] == [[101, 110], [111], []]


def test_a_point_is_small() -> None:
    chance = random.Random(1)
    tasks = tuple(
        TaskFigures(
            f"shop.orders.task_{n}", "default", (1e6, 12.0, 3.0), histogram([chance.expovariate(10)] * 9, SECONDS)
        )
        for n in range(10)
    )
    data = msgspec.msgpack.encode(Point(10.0, Figures(tasks)))
    assert len(data) < 3000
    assert decoded_sample("a", 1.0, data).point.figures.tasks == tasks
