"""What a worker has counted, from all its processes, and the part of it that the store does not have yet."""

from __future__ import annotations

import os
import threading
import time

import msgspec

from penstock.brokers.base import Backlog
from penstock.core.metrics import (
    COUNTS,
    KEPT,
    SECONDS,
    Figures,
    Point,
    QueueFigures,
    TaskFigures,
    changed,
    counted_as,
    histogram,
    minus,
    plus,
)
from penstock.events.emit import Emitter, Event, JobEnded, ProcessDied, ProcessKilled, StoreTrouble
from penstock.worker.crews import Crews
from penstock.worker.memory import resident


class _Written(msgspec.Struct):
    """Points of one length: how many the store has, and what they cover. `told` is what the next one goes up to."""

    until: float
    number: int = 0
    before: Figures = Figures()
    told: Figures = Figures()


class Meters:
    """Adds up what the processes have counted, and what only their supervisor sees. Safe from any thread.

    Parameters:
        crews: the processes.
        emitter: the supervisor's, whose events are counted.
    """

    def __init__(self, crews: Crews, emitter: Emitter) -> None:
        self._crews = crews
        self._lock = threading.Lock()
        self._own = Figures()
        now = time.monotonic()
        self._written = {span: _Written(now) for span in KEPT}
        for kind in (JobEnded, ProcessDied, ProcessKilled, StoreTrouble):
            emitter.subscribe(kind, self._heard)

    def total(self) -> Figures:
        """Everything since the worker started."""
        with self._lock:
            own = self._own
        return plus(self._crews.figures(), own)

    def now(self) -> Point:
        """What the worker has at this moment, and everything that it has counted."""
        states = self._crews.states()
        return Point(
            0.0,
            self.total(),
            float(self.memory()),
            float(sum(state.running for state in states)),
            float(sum(state.running * state.slots for state in states)),
            float(sum(state.busy for state in states)),
        )

    def memory(self) -> int:
        """Bytes of all processes of the worker."""
        return resident([os.getpid(), *self._crews.pids()])

    def saw(self, queue: str, backlog: Backlog) -> None:
        """A queue was looked at."""
        seen = QueueFigures(queue, float(backlog.ready), histogram([backlog.waited], SECONDS))
        self._add(Figures(queues=(seen,)))

    def is_due(self, span: int, now: float) -> bool:
        """Is a point of a length to be written? `now` is in monotonic seconds."""
        return now - self._written[span].until >= span

    def point(self, span: int, now: float) -> tuple[int, Point]:
        """The next point of a length, and its number: the same number again, with more in it, until it is `stored`."""
        written, point = self._written[span], self.now()
        written.told = point.figures
        since = changed(minus(point.figures, written.before))
        return written.number + 1, msgspec.structs.replace(point, seconds=now - written.until, figures=since)

    def stored(self, span: int, now: float) -> None:
        """The store has the point that was asked for last."""
        written = self._written[span]
        written.number, written.before, written.until = written.number + 1, written.told, now

    def _heard(self, event: Event) -> None:
        match event:
            case JobEnded(outcome=outcome):
                counts = [0.0] * len(COUNTS)
                counts[counted_as(outcome.ending)] = 1.0
                self._add(Figures((TaskFigures(outcome.lease.task, outcome.lease.queue, tuple(counts)),)))
            case ProcessDied():
                self._add(Figures(deaths=1.0))
            case ProcessKilled():
                self._add(Figures(kills=1.0))
            case StoreTrouble():
                self._add(Figures(troubles=1.0))
            case _:
                pass

    def _add(self, figures: Figures) -> None:
        with self._lock:
            self._own = plus(self._own, figures)
