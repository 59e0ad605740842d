"""Jobs whose process has died before."""

import threading
from collections.abc import Iterator

import pytest

from penstock.core.job import Lease
from penstock.core.outcome import Outcome
from penstock.pools.threads import ThreadsPool
from penstock.worker.suspects import Suspects

SECONDS = 10


class Busy:
    """A pool of one slot, whose jobs run until they are let go one by one."""

    def __init__(self) -> None:
        self.gate = threading.Semaphore(0)
        self.ended = threading.Semaphore(0)
        self.pool = ThreadsPool(1, self, lambda outcome: None, self._started)

    def is_async(self, lease: Lease) -> bool:
        return False

    def run(self, lease: Lease, slot: int) -> Outcome:
        assert self.gate.acquire(timeout=SECONDS)
        return Outcome(lease)

    async def run_async(self, lease: Lease, slot: int) -> Outcome:
        raise NotImplementedError

    def _started(self, slot: int, lease: Lease | None) -> bool:
        if lease is None:
            self.ended.release()
        return False

    def let_go(self) -> None:
        self.gate.release()
        assert self.ended.acquire(timeout=SECONDS)


@pytest.fixture
def busy() -> Iterator[Busy]:
    busy = Busy()
    yield busy
    busy.pool.stop()


def lease(key: int, crashes: int = 0) -> Lease:
    return Lease(key.to_bytes(16, "big"), key, 1, "app.task", b"\x90", crashes=crashes)


def test_one_waits_until_nothing_runs_and_what_came_with_it_goes_back(busy: Busy) -> None:
    busy.pool.submit([lease(0), lease(1)])
    suspects = Suspects(busy.pool)
    assert not suspects.waiting
    assert [each.key for each in suspects.meet([lease(2), lease(3, 1), lease(4, 2)])] == [1, 2]
    assert suspects.waiting
    assert suspects.next() is None
    busy.let_go()
    first = suspects.next()
    assert first is not None
    assert first.key == 3
    busy.pool.submit([first])
    assert suspects.waiting
    assert suspects.next() is None
    assert [each.key for each in suspects.take_back()] == [4]
    assert suspects.waiting, "the first still runs"
    busy.let_go()
    assert not suspects.waiting
