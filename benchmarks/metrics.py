"""What counting costs: a drain of no-op jobs in one process, with and without it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from benchmarks.figures import Figure, alternate, at_least
from benchmarks.places import NOOP, filled, folder, fresh_copy, url
from benchmarks.tasks import noop
from penstock import Penstock
from penstock.brokers.sqlite import SqliteBroker
from penstock.core.job import Holder, Lease
from penstock.core.outcome import Ending, Outcome
from penstock.events.counters import ROOM, Counters
from penstock.events.emit import Emitter
from penstock.events.meter import Meter
from penstock.pools.prefork import PreforkPool
from penstock.worker.board import Board
from penstock.worker.dispatcher import Dispatcher
from penstock.worker.limits import Limits
from penstock.worker.runner import Runner
from penstock.worker.work import Work


class Blind(Meter):
    """Counts only how many jobs have ended, as a worker needs it without any figures."""

    def exchanged(self, outcomes: Sequence[Outcome], stale: Sequence[Outcome], seconds: float, now: float) -> int:
        """See `Meter.exchanged`."""
        return sum(outcome.ending is not Ending.RELEASED for outcome in outcomes)


class Untimed(Work):
    """Runs jobs as `Work` does, and looks at no clock when they end."""

    def run(self, lease: Lease, slot: int) -> Outcome:
        """See `Work.run`."""
        began = time.perf_counter()
        outcome = self._runner.run(lease, slot)
        if outcome.ending is Ending.DONE and not (
            outcome.follow_ups or lease.packed or self._verbose or self._runner.cancelled
        ):
            return outcome
        return self._ended(outcome, began)


def run(quick: bool) -> list[Figure]:
    """CPU time of the same loop in this process, so that what else the machine does falls on neither."""
    count = 20_000 if quick else 100_000
    app = Penstock("sqlite:///unused.db")
    app.task(name=NOOP)(noop.function)
    with folder() as place:
        queue = filled(place / "filled.db", count)

        def drained(meter: type[Meter], work: type[Work]) -> float:
            copy = fresh_copy(queue, place / "copy.db")
            return count / _drain(copy, app.runner(), meter, work)

        samples = alternate(5 if quick else 15, lambda: drained(Meter, Work), lambda: drained(Blind, Untimed))
    return [samples.figure("no-op drain, counted; raw is not counted", "jobs/CPU s", ">= 0.97 of raw", at_least(0.97))]


def _drain(path: Path, runner: Runner, kind: type[Meter], work: type[Work]) -> float:
    """Take and run everything; returns the seconds of CPU time."""
    board, emitter = Board.create(1), Emitter()
    meter = kind(Counters(memoryview(bytearray(ROOM))), tuple)
    with closing(SqliteBroker(url(path))) as broker, closing(board):
        broker.open()
        dispatcher = Dispatcher(broker, Holder("bench", 1), ("default",), _late, board.count, meter)
        limits = Limits(board.limit, _never, None)
        pool = PreforkPool(1, work(runner, limits, emitter, meter, _shared), dispatcher.done, board.note)
        began = time.process_time()
        while leases := dispatcher.tick(pool.room()):
            pool.submit(leases)
        dispatcher.hand_in()
        return time.process_time() - began


def _late(outcomes: Sequence[Outcome]) -> None:
    raise AssertionError(outcomes)


def _never(lease: Lease, error: BaseException, claim: object) -> bool:
    return False


def _shared(task: str, size: int, seconds: float, now: float) -> None:
    """No jobs share a call here."""
