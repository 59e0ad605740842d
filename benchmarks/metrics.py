"""What counting costs: a drain of no-op jobs in one process, with and without it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from benchmarks.figures import AtLeast, Figure, alternate
from benchmarks.places import NOOP, filled, folder, fresh_copy, url
from benchmarks.tasks import noop
from penstock import Penstock
from penstock.brokers.sqlite.broker import SqliteBroker
from penstock.core.job import Holder, Lease
from penstock.core.outcome import Ending, Outcome
from penstock.events.counters import ROOM, Counters
from penstock.events.emit import Emitter
from penstock.events.meter import Meter
from penstock.pools.prefork import PreforkPool
from penstock.worker.board import _ENTRY, _FREE, _HEADER, Board
from penstock.worker.dispatcher import Dispatcher
from penstock.worker.limits import Limits
from penstock.worker.runner import Runner
from penstock.worker.work import Work


class Blind(Meter):
    """Counts only how many jobs have ended, as a worker needs it without any figures."""

    def exchanged(self, outcomes: Sequence[Outcome], stale: Sequence[Outcome], seconds: float, now: float) -> int:
        """See `Meter.exchanged`."""
        return sum(outcome.ending is not Ending.RELEASED for outcome in outcomes)


class Timeless(Board):
    """Notes what runs as `Board` does, and nothing of how long it ran."""

    def note(self, slot: int, lease: Lease | None) -> None:
        """See `Board.note`."""
        offset = _HEADER.size + slot * _ENTRY.size
        if lease is None:
            self._memory[offset : offset + _ENTRY.size] = _FREE
        else:
            _ENTRY.pack_into(self._memory, offset, 0.0, 0.0, time.monotonic(), 0.0, 0.0, lease.id, 0.0)


def run(quick: bool) -> list[Figure]:
    """CPU time of the same loop in this process, so that what else the machine does falls on neither."""
    count = 20_000 if quick else 100_000
    app = Penstock("sqlite:///unused.db")
    app.task(name=NOOP)(noop.function)
    with folder() as place:
        queue = filled(place / "filled.db", count)

        def drained(meter: type[Meter], board: type[Board]) -> float:
            copy = fresh_copy(queue, place / "copy.db")
            return count / _drain(copy, app.runner(), meter, board)

        samples = alternate(5 if quick else 15, lambda: drained(Meter, Board), lambda: drained(Blind, Timeless))
    return [samples.figure("no-op drain, counted; raw is not counted", "jobs/CPU s", ">= 0.97 of raw", AtLeast(0.97))]


def _drain(path: Path, runner: Runner, kind: type[Meter], noting: type[Board]) -> float:
    """Take and run everything; returns the seconds of CPU time."""
    board = noting.create(1)
    meter = kind(Counters(memoryview(bytearray(ROOM))), tuple)
    board.ran, board.quick = meter.ran, meter.quick
    with closing(SqliteBroker(url(path))) as broker, closing(board):
        broker.open()
        dispatcher = Dispatcher(broker, Holder("bench", 1), ("default",), _late, board.count, meter)
        work = Work(runner, Limits(board.limit, _never, None), Emitter(), board.seconds, _shared)
        pool = PreforkPool(1, work, dispatcher.done, board.note)
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
