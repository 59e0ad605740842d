"""What every pool does with leases."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from penstock.core.job import Lease
from penstock.core.outcome import Outcome
from penstock.pools.base import Pool
from penstock.pools.prefork import PreforkPool
from penstock.pools.threads import ThreadsPool

SECONDS = 10


def lease(number: int) -> Lease:
    return Lease(number.to_bytes(16, "big"), number, 1, "app.task", b"\x90")


class Stage:
    """A pool whose jobs wait, if their number is among those held, until they are let go."""

    def __init__(self, pool: Callable[..., Pool], slots: int) -> None:
        self.ended: list[int] = []
        self.slots: dict[int, int | None] = {}
        self.held: set[int] = set()
        self.entered = threading.Semaphore(0)
        self.gate = threading.Event()
        self.count = threading.Semaphore(0)
        self.pool = pool(slots, self._run, self._done, self._started)

    def _run(self, lease: Lease) -> Outcome:
        if lease.key in self.held:
            self.entered.release()
            assert self.gate.wait(SECONDS)
        return Outcome(lease)

    def _done(self, outcome: Outcome) -> None:
        self.ended.append(outcome.lease.key)
        self.count.release()

    def _started(self, slot: int, lease: Lease | None) -> None:
        self.slots[slot] = None if lease is None else lease.key

    def submit(self, *numbers: int) -> threading.Thread:
        """Submit from a thread: a pool may run leases in the one that submits."""
        thread = threading.Thread(target=self.pool.submit, args=([lease(number) for number in numbers],))
        thread.start()
        return thread

    def wait_for(self, count: int) -> None:
        for _ in range(count):
            assert self.count.acquire(timeout=SECONDS)

    def wait_until_held(self, count: int) -> None:
        for _ in range(count):
            assert self.entered.acquire(timeout=SECONDS)


@pytest.fixture(params=[(PreforkPool, 1), (ThreadsPool, 2)], ids=["prefork", "threads"])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    stage = Stage(*request.param)
    yield stage
    stage.gate.set()
    stage.pool.stop()


def numbers(leases: list[Lease]) -> list[int]:
    return sorted(lease.key for lease in leases)


def hold_all_slots(stage: Stage) -> tuple[list[int], threading.Thread]:
    """Fill every slot with a job that waits, and put three more behind them."""
    held = list(range(stage.pool.slots))
    stage.held.update(held)
    thread = stage.submit(*held, 100, 101, 102)
    stage.wait_until_held(len(held))
    return held, thread


def test_every_lease_is_run_and_its_outcome_told(stage: Stage) -> None:
    assert stage.pool.idle()
    stage.submit(*range(50)).join(SECONDS)
    stage.wait_for(50)
    assert sorted(stage.ended) == list(range(50))


def test_one_slot_runs_them_in_order() -> None:
    for pool in (PreforkPool, ThreadsPool):
        stage = Stage(pool, 1)
        stage.submit(*range(50)).join(SECONDS)
        stage.wait_for(50)
        assert stage.ended == list(range(50))
        stage.pool.stop()


def test_what_runs_is_told_and_noted(stage: Stage) -> None:
    held, thread = hold_all_slots(stage)
    assert numbers(stage.pool.running()) == held
    assert sorted(key for key in stage.slots.values() if key is not None) == held
    assert not stage.pool.idle()
    stage.gate.set()
    thread.join(SECONDS)
    stage.wait_for(len(held) + 3)
    assert stage.pool.running() == []
    assert stage.pool.idle()


def test_what_has_not_started_can_be_taken_back(stage: Stage) -> None:
    held, thread = hold_all_slots(stage)
    assert numbers(stage.pool.take_back()) == [100, 101, 102]
    assert stage.pool.take_back() == []
    stage.gate.set()
    thread.join(SECONDS)
    stage.wait_for(len(held))
    assert sorted(stage.ended) == held


def test_a_pool_that_stops_ends_what_runs_and_starts_nothing(stage: Stage) -> None:
    held, thread = hold_all_slots(stage)
    stage.pool.stop()
    assert stage.pool.room() == 0
    stage.gate.set()
    thread.join(SECONDS)
    stage.wait_for(len(held))
    assert sorted(stage.ended) == held
    assert numbers(stage.pool.take_back()) == [100, 101, 102]


def test_short_jobs_make_room_for_more(stage: Stage) -> None:
    assert stage.pool.room() == stage.pool.slots
    rounds = 0
    while stage.pool.room() < 20:
        rounds += 1
        assert rounds < 200
        stage.submit(*range(stage.pool.room())).join(SECONDS)
        stage.wait_for(stage.count._value)


def test_threads_take_nothing_while_all_slots_are_busy() -> None:
    stage = Stage(ThreadsPool, 2)
    held, _ = hold_all_slots(stage)
    stage.pool.take_back()
    assert stage.pool.room() == 0
    stage.gate.set()
    stage.wait_for(len(held))
    stage.pool.stop()


def test_a_free_thread_has_handed_its_outcome_on() -> None:
    # A worker that stops looks at what runs, and then hands in what ended: nothing may fall between the two.
    seen: list[Any] = []
    pool: ThreadsPool

    def done(outcome: Outcome) -> None:
        ended.append(outcome)
        seen.append(pool.running())
        finished.set()

    ended: list[Outcome] = []
    finished = threading.Event()
    pool = ThreadsPool(1, Outcome, done, lambda slot, lease: None)
    pool.submit([lease(1)])
    assert finished.wait(SECONDS)
    assert [numbers(running) for running in seen] == [[1]]
    pool.stop()
