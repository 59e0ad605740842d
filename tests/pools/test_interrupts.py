"""An interruption is raised in the user's code of the job it is meant for, and nowhere else."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from penstock import Penstock
from penstock.cli import boot
from penstock.core.codec import encode_value
from penstock.core.job import Lease
from penstock.core.outcome import Outcome
from penstock.errors import JobCancelled
from penstock.pools import load_pool
from penstock.pools.base import Pool
from penstock.worker.runner import Runner

SECONDS = 10
PATCHED = "gevent.monkey" in sys.modules and sys.modules["gevent.monkey"].is_module_patched("threading")


class Bench:
    """A pool with a real runner; how each job ended, by its key."""

    def __init__(self, pool: str, slots: int) -> None:
        app = Penstock("sqlite:///unused.db")
        self.began = threading.Semaphore(0)

        @app.task(name="wait", retries=0)
        def wait(seconds: float) -> None:
            self.began.release()
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                time.sleep(0.001)

        @app.task(name="short", retries=0)
        def short(seconds: float) -> None:
            sum(range(1000))

        @app.task(name="async", retries=0)
        async def wait_async(seconds: float) -> None:
            self.began.release()
            await asyncio.sleep(seconds)

        self.runner: Runner = app.runner()
        self.outcomes: dict[int, Outcome] = {}
        self.ended = threading.Semaphore(0)
        self.pool: Pool = load_pool(pool)(slots, self, self._done, lambda slot, lease: None)
        self.runner.call = self.pool.call
        self.is_async = self.runner.is_async

    def run(self, lease: Lease, slot: int) -> Outcome:
        try:
            return self.runner.run(lease, slot)
        finally:
            if self.is_async(lease):
                self.runner.close()

    async def run_async(self, lease: Lease, slot: int) -> Outcome:
        return await self.runner.run_async(lease, slot)

    def _done(self, outcome: Outcome) -> None:
        self.outcomes[outcome.lease.key] = outcome
        self.ended.release()

    def interrupt(self, lease: Lease, claim: Callable[[], bool]) -> None:
        error = JobCancelled("told so")
        if not self.runner.interrupt(lease, error, claim):
            self.pool.interrupt(lease, error, claim)


@pytest.fixture(params=["gevent"] if PATCHED else ["threads", "asyncio"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    bench = Bench(request.param, 4)
    yield bench
    bench.pool.close()
    bench.runner.close()


def lease(key: int, task: str, seconds: float = SECONDS) -> Lease:
    return Lease(key.to_bytes(16, "big"), key, 1, task, encode_value((seconds,)))


@pytest.mark.parametrize("task", ["wait", "async"])
def test_the_one_it_is_meant_for_and_not_its_neighbours(bench: Bench, task: str) -> None:
    bench.pool.submit([lease(1, task, 0.3), lease(2, task), lease(3, task, 0.3)])
    for _ in range(3):
        assert bench.began.acquire(timeout=SECONDS)
    (meant,) = [each for each in bench.pool.running() if each.key == 2]
    claims: list[bool] = []
    bench.interrupt(meant, lambda: not claims.append(True))
    assert bench.ended.acquire(timeout=SECONDS)
    assert list(bench.outcomes) == [2]
    assert str(bench.outcomes[2].failure) == "penstock.errors.JobCancelled: told so"
    assert claims == [True]
    for _ in range(2):
        assert bench.ended.acquire(timeout=SECONDS)
    assert {key: outcome.failure for key, outcome in bench.outcomes.items() if key != 2} == {1: None, 3: None}


def test_one_that_nobody_claims_is_not_raised(bench: Bench) -> None:
    bench.pool.submit([lease(1, "wait", 0.1), lease(2, "async", 0.1)])
    for _ in range(2):
        assert bench.began.acquire(timeout=SECONDS)
    for each in bench.pool.running():
        bench.interrupt(each, lambda: False)
    for _ in range(2):
        assert bench.ended.acquire(timeout=SECONDS)
    assert [outcome.failure for outcome in bench.outcomes.values()] == [None, None]


def test_one_that_comes_late_harms_nobody(bench: Bench) -> None:
    # The jobs end as they are aimed at: what is claimed hits the job it was claimed for, or is taken back.
    claimed: set[int] = set()
    count = 1500
    bench.pool.submit([lease(key, "short") for key in range(count)])
    deadline = time.monotonic() + 6 * SECONDS
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    while len(bench.outcomes) < count and time.monotonic() < deadline:
        for each in bench.pool.running():
            bench.interrupt(each, lambda key=each.key: not claimed.add(key))
        time.sleep(0)
    sys.setswitchinterval(interval)
    assert len(bench.outcomes) == count
    hit = {key for key, outcome in bench.outcomes.items() if outcome.failure is not None}
    assert {str(bench.outcomes[key].failure) for key in hit} <= {"penstock.errors.JobCancelled: told so"}
    assert hit <= claimed
    assert bench.pool.idle()


def test_all_of_this_with_gevent_too() -> None:
    if PATCHED:
        return  # this is it
    command = [sys.executable, str(boot.__file__), "pytest", "-q", "-p", "no:cacheprovider", __file__]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert ended.returncode == 0, ended.stdout + ended.stderr


IN_THE_MAIN_THREAD = """
import signal, sys, threading, time
sys.path.insert(0, {folder!r})
from test_interrupts import Bench, lease

bench = Bench("prefork", 1)
for number, handler in bench.pool.handlers().items():
    signal.signal(number, handler)
claimed = set()
ended = threading.Event()

def aim():
    while not ended.is_set():
        for each in bench.pool.running():
            bench.interrupt(each, lambda key=each.key: not claimed.add(key))
        time.sleep(0.0001)

thread = threading.Thread(target=aim)
thread.start()
bench.pool.submit([lease(key, "short") for key in range(20_000)])
bench.pool.submit([lease(30_000, "wait"), lease(30_001, "async")])
ended.set()
thread.join()
hit = {{key for key, outcome in bench.outcomes.items() if outcome.failure is not None}}
assert len(bench.outcomes) == 20_002, len(bench.outcomes)
assert {{30_000, 30_001}} <= hit <= claimed, (len(hit), len(claimed), hit - claimed)
"""


def test_the_main_thread_of_prefork() -> None:
    if PATCHED:
        return
    program = IN_THE_MAIN_THREAD.format(folder=os.path.dirname(__file__))
    command = [sys.executable, "-W", "error", "-c", program]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 0, ended.stdout + ended.stderr
