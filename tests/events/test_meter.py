"""Counting what a process does."""

from collections.abc import Iterator
from itertools import count

import msgspec
import pytest

from penstock.cache import Cache
from penstock.core import canary
from penstock.core.job import Failure, Lease, NewJob
from penstock.core.metrics import Figures, TaskFigures
from penstock.core.outcome import Ending, Outcome
from penstock.events.counters import ROOM, Counters
from penstock.events.emit import BatchEnded, Emitter
from penstock.events.meter import Meter

_ids = count(1)
FAILURE = Failure("ValueError", "no")


class Setup:
    def __init__(self) -> None:
        self.counters = Counters(memoryview(bytearray(ROOM)))
        self.caches: list[Cache[str, str]] = []
        self.meter = Meter(self.counters, lambda: self.caches)
        self.emitter = Emitter()
        self.meter.subscribe(self.emitter)
        self.now = 0.0

    def exchange(self, *outcomes: Outcome, stale: tuple[Outcome, ...] = ()) -> Figures:
        self.now += 2.0
        self.meter.exchanged(outcomes, stale, 0.0002, self.now)
        return self.counters.read()


@pytest.fixture
def setup() -> Iterator[Setup]:
    return Setup()


def lease(task: str = "shop.send", queue: str = "mail", items: int = 1, *, packed: bool = False) -> Lease:
    number = next(_ids)
    return Lease(number.to_bytes(16), number, 1, task, b"", queue, items=items, packed=packed)


def outcome(ending: Ending = Ending.DONE, **fields: object) -> Outcome:
    return Outcome(lease(**fields), ending)


def counted(task: TaskFigures) -> dict[str, float]:
    return {name: task.count(name) for name in ("done", "retried", "dead", "released", "stale") if task.count(name)}


def test_jobs_are_counted_by_task_queue_and_ending(setup: Setup) -> None:
    figures = setup.exchange(
        outcome(),
        outcome(),
        outcome(Ending.RETRY),
        outcome(),
        outcome(queue="slow"),
        outcome(Ending.DEAD),
        outcome(task="shop.pay"),
    )
    assert [(task.key, counted(task)) for task in sorted(figures.tasks, key=lambda task: task.key)] == [
        (("shop.pay", "mail"), {"done": 1}),
        (("shop.send", "mail"), {"done": 3, "retried": 1, "dead": 1}),
        (("shop.send", "slow"), {"done": 1}),
    ]
    assert figures.exchanges.count == 1
    assert figures.exchanges.total == pytest.approx(0.0002)


@pytest.mark.parametrize("ending", list(Ending))
def test_every_ending_counts(setup: Setup, ending: Ending) -> None:
    figures = setup.exchange(outcome(ending))
    assert sum(figures.tasks[0].counts) == 1.0


def test_what_came_too_late_is_not_done(setup: Setup) -> None:
    late = outcome()
    (task,) = setup.exchange(outcome(), late, stale=(late,)).tasks
    assert counted(task) == {"done": 1, "stale": 1}


def test_of_a_packed_row_the_items_count(setup: Setup) -> None:
    row = lease(items=10, packed=True)
    retried, dead, scattered = (
        NewJob(b"", "shop.send", b"", failure=FAILURE),
        NewJob(b"", "shop.send", b"", failure=FAILURE, dead=True),
        NewJob(b"", "shop.send", b""),
    )
    (task,) = setup.exchange(Outcome(row, follow_ups=(retried, dead))).tasks
    assert counted(task) == {"done": 8, "retried": 1, "dead": 1}
    cut = Outcome(row, Ending.RELEASED, payload=b"", items=6, follow_ups=(retried,))
    (task,) = setup.exchange(cut).tasks
    assert counted(task) == {"done": 11, "retried": 2, "dead": 1, "released": 6}
    (task,) = setup.exchange(Outcome(lease(items=2, packed=True), follow_ups=(scattered, scattered))).tasks
    assert counted(task) == {"done": 11, "retried": 2, "dead": 1, "released": 6}


def test_runs_are_timed_and_quick_ones_shared_out_among_the_jobs_that_ended(setup: Setup) -> None:
    slow, quick, other = outcome(), outcome(), outcome(task="shop.pay")
    setup.meter.ran(slow.lease, 2.0)
    for seconds in (0.00001, 0.00003):
        setup.meter.quick(seconds)
    figures = {task.task: task for task in setup.exchange(slow, quick, other).tasks}
    assert figures["shop.send"].runs.count == 2
    assert figures["shop.send"].runs.total == pytest.approx(2.00002)
    assert figures["shop.pay"].runs.count == 1
    assert figures["shop.pay"].runs.total == pytest.approx(0.00002)
    assert figures["shop.send"].runs.counts[0] == 1


def test_quick_runs_wait_for_the_exchange_that_hands_them_in(setup: Setup) -> None:
    setup.meter.quick(0.00001)
    assert setup.exchange().tasks == ()
    (task,) = setup.exchange(outcome()).tasks
    assert task.runs.count == 1


def test_a_quick_run_whose_job_was_handed_in_before_belongs_to_it(setup: Setup) -> None:
    setup.exchange(outcome())
    setup.meter.quick(0.00001)
    (task,) = setup.exchange().tasks
    assert task.runs.count == 1


def test_quick_runs_that_failed_are_counted_and_none_is_lost_in_sharing(setup: Setup) -> None:
    ended = [
        outcome(Ending.DEAD),
        outcome(),
        outcome(task="shop.pay"),
        outcome(task="shop.call"),
        outcome(Ending.PARKED),
    ]
    for _ in range(4):
        setup.meter.quick(0.00001)
    figures = setup.exchange(*ended)
    assert {task.task: task.runs.count for task in figures.tasks} == {"shop.send": 2, "shop.pay": 1, "shop.call": 1}


def test_a_run_that_failed_is_timed_without_an_ending(setup: Setup) -> None:
    setup.meter.ran(lease(), 0.02)
    (task,) = setup.exchange().tasks
    assert task.runs.count == 1


def test_calls_of_batch_tasks_are_sized_and_timed(setup: Setup) -> None:
    setup.exchange(outcome(task="shop.store"))
    setup.meter.quick(0.00001)
    setup.emitter.emit(BatchEnded("shop.store", 100, 0.02))
    setup.emitter.emit(BatchEnded("shop.store", 50, 0.04, ok=False))
    (task, _) = setup.exchange(outcome(task="shop.store"), outcome(task="shop.send")).tasks
    assert (task.queue, task.sizes.count, task.sizes.total) == ("mail", 2, 150)
    assert task.runs.count == 0
    assert task.calls.total == pytest.approx(0.06)
    assert task.count("failed_calls") == 1


def test_quick_calls_that_jobs_shared_are_no_runs(setup: Setup) -> None:
    for _ in range(3):
        setup.emitter.emit(BatchEnded("shop.store", 10, 0.00001))
        setup.meter.quick(0.00001)
    (task,) = setup.exchange(outcome(task="shop.store")).tasks
    assert task.runs.count == 0
    setup.meter.quick(0.00001)
    setup.meter.quick(0.00001)
    figures = setup.exchange(outcome(task="shop.store"), outcome(task="shop.send"))
    assert {task.task: task.runs.count for task in figures.tasks} == {"shop.store": 0, "shop.send": 1}


def test_a_call_waits_for_the_first_of_its_jobs_which_tells_the_queue(setup: Setup) -> None:
    setup.emitter.emit(BatchEnded("shop.store", 100, 0.02))
    assert setup.exchange().tasks == ()
    (task,) = setup.exchange(outcome(task="shop.store")).tasks
    assert (task.queue, task.sizes.total) == ("mail", 100)


def test_canaries_are_nothing_of_the_user_s(setup: Setup) -> None:
    bird = outcome(task=canary.TASK, queue=canary.queue_of("ab"))
    setup.meter.ran(bird.lease, 0.5)
    setup.meter.quick(0.00001)
    assert setup.exchange(bird).tasks == ()


def test_caches_of_a_name_are_counted_together_also_when_one_is_gone(setup: Setup) -> None:
    one, two = Cache(str.upper, name="symbols"), Cache(str.upper, name="symbols")
    setup.caches = [one, two]
    for cache in (one, one, two):
        cache.get("a")
    (figures,) = setup.exchange().caches
    assert (figures.name, figures.hits, figures.misses, figures.items) == ("symbols", 1, 2, 2)
    assert figures.bytes == one.stats().bytes + two.stats().bytes
    two.get("a")
    (figures,) = setup.exchange().caches
    assert (figures.hits, figures.misses) == (2, 2)
    setup.caches = []
    (figures,) = setup.exchange().caches
    assert (figures.hits, figures.misses, figures.items, figures.bytes) == (2, 2, 0, 0)


def test_caches_are_looked_at_once_a_second(setup: Setup) -> None:
    cache = Cache(str.upper, name="symbols")
    setup.caches = [cache]
    setup.exchange()
    cache.get("a")
    setup.meter.exchanged((), (), 0.0, setup.now + 0.5)
    (figures,) = setup.counters.read().caches
    assert figures.misses == 0
    setup.meter.close()
    (figures,) = setup.counters.read().caches
    assert figures.misses == 1


def test_outcomes_are_not_changed(setup: Setup) -> None:
    one = outcome()
    before = msgspec.structs.asdict(one)
    setup.exchange(one)
    assert msgspec.structs.asdict(one) == before
