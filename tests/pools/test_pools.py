"""What every pool does with leases."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from penstock.cli import boot
from penstock.core.job import Lease
from penstock.core.outcome import Outcome
from penstock.pools import POOLS, load_pool
from penstock.pools.aio import AsyncioPool
from penstock.pools.base import Pool
from penstock.pools.prefork import PreforkPool
from penstock.pools.threads import ThreadsPool

SECONDS = 10


def lease(number: int) -> Lease:
    return Lease(number.to_bytes(16, "big"), number, 1, "app.task", b"\x90")


class Stage:
    """A pool whose jobs wait, if their number is among those held, until they are let go."""

    def __init__(
        self, pool: Callable[..., Pool], slots: int, *, is_async: Callable[[Lease], bool] | None = None
    ) -> None:
        self.ended: list[int] = []
        self.slots: dict[int, int | None] = {}
        self.held: set[int] = set()
        self.declined: set[int] = set()
        self.entered = threading.Semaphore(0)
        self.gate = threading.Event()
        self.count = threading.Semaphore(0)
        self.is_async = is_async or (lambda lease: False)
        self.pool = pool(slots, self, self._done, self._started)

    def run(self, lease: Lease, slot: int) -> Outcome:
        if lease.key in self.held:
            self.entered.release()
            assert self.gate.wait(SECONDS)
        return Outcome(lease)

    async def run_async(self, lease: Lease, slot: int) -> Outcome:
        if lease.key not in self.held:
            return Outcome(lease)
        return await asyncio.get_running_loop().run_in_executor(None, self.run, lease, slot)

    def _done(self, outcome: Outcome) -> None:
        self.ended.append(outcome.lease.key)
        self.count.release()

    def _started(self, slot: int, lease: Lease | None) -> bool:
        if lease is not None and lease.key in self.declined:
            self.declined.remove(lease.key)
            self.count.release()
            return True
        self.slots[slot] = None if lease is None else lease.key
        return False

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


PATCHED = "gevent.monkey" in sys.modules and sys.modules["gevent.monkey"].is_module_patched("threading")


def stages() -> dict[str, Callable[[], Stage]]:
    if PATCHED:
        return {
            "gevent": lambda: Stage(load_pool("gevent"), 2),
            "gevent, async": lambda: Stage(load_pool("gevent"), 2, is_async=lambda lease: True),
        }
    return {
        "prefork": lambda: Stage(PreforkPool, 1),
        "threads": lambda: Stage(ThreadsPool, 2),
        "asyncio": lambda: Stage(AsyncioPool, 2, is_async=lambda lease: True),
        "asyncio, plain": lambda: Stage(AsyncioPool, 2),
        "asyncio, both": lambda: Stage(AsyncioPool, 2, is_async=lambda lease: lease.key % 2 > 0),
    }


@pytest.fixture(params=stages())
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    stage = stages()[request.param]()
    yield stage
    stage.gate.set()
    stage.pool.close()


def test_all_of_this_with_gevent_too_in_a_process_that_it_has_patched() -> None:
    if PATCHED:
        return  # this is it
    command = [sys.executable, str(boot.__file__), "pytest", "-q", "-p", "no:cacheprovider", __file__]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert ended.returncode == 0, ended.stdout + ended.stderr


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


@pytest.mark.parametrize("name", ["gevent"] if PATCHED else [name for name in POOLS if name != "gevent"])
def test_one_slot_runs_them_in_order(name: str) -> None:
    stage = Stage(load_pool(name), 1, is_async=lambda lease: lease.key % 3 > 0)
    stage.submit(*range(50)).join(SECONDS)
    stage.wait_for(50)
    assert stage.ended == list(range(50))
    stage.pool.close()


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


def test_what_is_declined_does_not_run_and_its_slot_goes_on(stage: Stage) -> None:
    stage.declined.update(range(10, 50, 7))
    stage.submit(*range(50)).join(SECONDS)
    stage.wait_for(50)
    assert sorted(stage.ended) == sorted(set(range(50)) - set(range(10, 50, 7)))
    assert stage.declined == set()


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


@pytest.mark.skipif(PATCHED, reason="of threads")
@pytest.mark.parametrize("kind", [ThreadsPool, AsyncioPool])
def test_what_is_given_a_slot_as_the_pool_stops_is_run_or_taken_back(kind: type[ThreadsPool]) -> None:
    """The stop comes from another thread, after the slot is given and before a thread is told of it."""

    class Stopped(kind):  # type: ignore[misc, valid-type]
        def _begin(self, starts: Sequence[tuple[int, Lease]]) -> None:
            if starts[0][1].key:
                self.stop()
            super()._begin(starts)

    stage = Stage(Stopped, 2)
    stage.submit(0).join(SECONDS)
    stage.wait_for(1)
    stage.submit(1, 2, 3).join(SECONDS)
    assert stage.pool.running() == []
    assert numbers(stage.pool.take_back()) == [1, 2, 3]
    stage.pool.close()


def test_short_jobs_make_room_for_more(stage: Stage) -> None:
    assert stage.pool.room() == stage.pool.slots
    rounds = 0
    while stage.pool.room() < stage.pool.slots + 2:
        rounds += 1
        assert rounds < 200
        stage.submit(*range(50)).join(SECONDS)
        stage.wait_for(50)


def test_nothing_is_taken_while_all_slots_are_busy(stage: Stage) -> None:
    held, thread = hold_all_slots(stage)
    stage.pool.take_back()
    assert stage.pool.inline or stage.pool.room() == 0
    stage.gate.set()
    thread.join(SECONDS)
    stage.wait_for(len(held))


def test_the_first_that_wait_may_stay(stage: Stage) -> None:
    held, thread = hold_all_slots(stage)
    assert stage.pool.waiting() == 3
    assert numbers(stage.pool.take_back(2)) == [102]
    assert stage.pool.waiting() == 2
    stage.gate.set()
    thread.join(SECONDS)
    stage.wait_for(len(held) + 2)
    assert sorted(stage.ended) == [*held, 100, 101]


def test_a_condemned_one_is_not_waited_for_and_what_it_ends_with_is_dropped(stage: Stage) -> None:
    held, _ = hold_all_slots(stage)
    (first, *_) = stage.pool.running()
    if stage.pool.inline:
        # Its process is killed.
        assert not stage.pool.condemn(first)
        return
    slot = stage.pool.slot_of(first)
    assert slot is not None
    assert stage.pool.condemn(first)
    assert not stage.pool.condemn(first)
    assert stage.slots[slot] is None
    assert first not in stage.pool.running()
    stage.gate.set()
    stage.wait_for(len(held) + 2)
    assert first.key not in stage.ended


def test_fewer_slots_may_be_used(stage: Stage) -> None:
    stage.pool.resize(1)
    assert stage.pool.room() == 1
    stage.held.update((1, 2))
    thread = stage.submit(1, 2)
    stage.wait_until_held(1)
    assert numbers(stage.pool.running()) == [1]
    stage.gate.set()
    thread.join(SECONDS)
    stage.wait_for(2)
    assert stage.ended == [1, 2]


def test_a_free_slot_has_handed_its_outcome_on() -> None:
    # A worker that stops looks at what runs, and then hands in what ended: nothing may fall between the two.
    seen: list[Any] = []
    stage = Stage(load_pool("gevent" if PATCHED else "threads"), 1)
    finished = threading.Event()

    def done(outcome: Outcome) -> None:
        # The lock is held: asking the pool would wait for ever.
        seen.append(dict(stage.pool._current))
        finished.set()

    stage.pool._done = done
    stage.pool.submit([lease(1)])
    assert finished.wait(SECONDS)
    assert [list(running) for running in seen] == [[0]]
    stage.pool.close()
