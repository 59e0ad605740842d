"""Limits of jobs that run: when they are interrupted, when they are condemned, and that each happens once."""

from collections.abc import Callable
from queue import SimpleQueue

import pytest

from penstock.core.decide import Terms
from penstock.core.job import Lease
from penstock.errors import JobCancelled, TimeLimitExceeded
from penstock.worker.limits import Limit, Limits

SECONDS = 10
LEASE = Lease(b"i" * 16, 1, 1, "app.task", b"\x90")


class Bench:
    """Limits, and what they ask for."""

    def __init__(self, *, claims: bool = True, condemns: int = 1) -> None:
        self.runs = True
        self.noted: dict[int, tuple[float, int]] = {}
        self.interrupted: SimpleQueue[tuple[BaseException, bool]] = SimpleQueue()
        self.condemned: SimpleQueue[Limit] = SimpleQueue()
        self._claims = claims
        self._refusals = condemns - 1
        self.limits = Limits(self._note, self._interrupt, self._condemn if condemns else None)

    def _note(self, slot: int, kill_at: float = 0.0, memory: int = 0) -> None:
        self.noted[slot] = kill_at, memory

    def _interrupt(self, lease: Lease, error: BaseException, claim: Callable[[], bool]) -> bool:
        self.interrupted.put((error, self._claims and claim()))
        return self.runs

    def _condemn(self, limit: Limit) -> bool:
        self._refusals -= 1
        if self._refusals < 0:
            self.condemned.put(limit)
        return self._refusals < 0


def test_a_job_is_interrupted_once_and_then_condemned_once() -> None:
    bench = Bench()
    limit = bench.limits.enter(3, LEASE, Terms(timeout=0.01, kill_after=0.02))
    assert bench.noted == {3: (limit.kill_at, 0)}
    error, claimed = bench.interrupted.get(timeout=SECONDS)
    assert isinstance(error, TimeLimitExceeded)
    assert claimed
    assert bench.condemned.get(timeout=SECONDS) is limit
    assert bench.interrupted.empty()
    assert bench.condemned.empty()


def test_an_interruption_that_was_not_claimed_is_tried_again() -> None:
    bench = Bench(claims=False, condemns=0)
    bench.limits.enter(0, LEASE, Terms(timeout=0.01))
    for _ in range(3):
        assert not bench.interrupted.get(timeout=SECONDS)[1]


def test_one_that_is_gone_is_forgotten() -> None:
    bench = Bench(claims=False)
    bench.runs = False
    bench.limits.enter(0, LEASE, Terms(timeout=0.01, kill_after=0.01))
    bench.interrupted.get(timeout=SECONDS)
    other = Lease(b"j" * 16, 2, 1, "app.task", b"\x90")
    bench.limits.enter(1, other, Terms(timeout=0.05))
    bench.interrupted.get(timeout=SECONDS)
    assert bench.interrupted.empty()
    assert bench.condemned.empty()


def test_a_condemnation_that_was_refused_is_tried_again() -> None:
    bench = Bench(condemns=3)
    limit = bench.limits.enter(0, LEASE, Terms(timeout=0.01, kill_after=0.0))
    assert bench.condemned.get(timeout=SECONDS) is limit


def test_who_has_left_is_left_alone() -> None:
    bench = Bench()
    limit = bench.limits.enter(0, LEASE, Terms(timeout=1000, kill_after=0.0))
    bench.limits.leave(LEASE)
    other = Lease(b"j" * 16, 2, 1, "app.task", b"\x90")
    bench.limits.enter(1, other, Terms(timeout=0.01, kill_after=0.0))
    assert bench.interrupted.get(timeout=SECONDS)[1]
    condemned = bench.condemned.get(timeout=SECONDS)
    assert condemned.lease is other
    assert limit.soft_at > 0
    assert bench.condemned.empty()


def test_a_limit_of_memory_is_noted_and_waits_for_nothing() -> None:
    bench = Bench()
    limit = bench.limits.enter(2, LEASE, Terms(memory=5_000_000))
    assert bench.noted == {2: (0.0, 5_000_000)}
    assert not limit.claim()


def test_the_next_item_of_a_row_has_its_own_time() -> None:
    bench = Bench(condemns=0)
    limit = bench.limits.enter(0, LEASE, Terms(timeout=1000.0))
    first = limit.kill_at
    limit.restart()
    assert limit.kill_at >= first
    assert bench.noted == {0: (limit.kill_at, 0)}
    assert not limit.claim()


@pytest.mark.parametrize("terms", [Terms(kill_after=0.01), Terms(timeout=1000, kill_after=0.01)])
def test_a_cancelled_one_is_interrupted_at_once_and_no_item_lengthens_its_time(terms: Terms) -> None:
    bench = Bench()
    if terms.timeout is not None:
        bench.limits.enter(0, LEASE, terms)
    bench.limits.cancel(0, LEASE, terms)
    error, claimed = bench.interrupted.get(timeout=SECONDS)
    assert isinstance(error, JobCancelled)
    assert claimed
    limit = bench.condemned.get(timeout=SECONDS)
    before = limit.kill_at
    limit.restart()
    assert limit.kill_at == before


def test_the_thread_sees_to_one_that_is_due_before_those_it_waits_for() -> None:
    bench = Bench(condemns=0)
    far = Lease(b"f" * 16, 2, 1, "app.task", b"\x90")
    bench.limits.enter(0, far, Terms(timeout=1000.0))
    bench.limits.enter(1, LEASE, Terms(timeout=0.01))
    assert bench.interrupted.get(timeout=SECONDS)[1]
