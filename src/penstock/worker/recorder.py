"""Writes what a worker has counted to the store, with the connection of the upkeep."""

from __future__ import annotations

import time
from contextlib import suppress

from penstock.brokers.base import COUNTED, Backlog, Broker
from penstock.core.metrics import KEPT
from penstock.errors import StoreError
from penstock.worker.meters import Meters

#: Seconds between two looks at the queues.
_LOOK = 2.0
#: Queues that one look sees; a worker of more takes them in turn.
_QUEUES = 8
#: Jobs that are counted in a deep queue, at most, and in one that counted the first of them in `_SWIFT` seconds: heartbeats wait
#: meanwhile. 300,000 took SQLite 0.03 s, PostgreSQL 0.06 s and MongoDB 0.4 s.
_DEEP = 100_000, 1_000_000
_SWIFT = 0.05
#: How many times as long as a count of a deep queue took nobody counts.
_REST = 100.0


class Recorder:
    """Looks at the queues, and writes the worker's points when they are due.

    Parameters:
        worker: its id.
        queues: that it takes from.
    """

    def __init__(self, worker: str, queues: tuple[str, ...], meters: Meters) -> None:
        self._worker = worker
        self._queues = queues
        self._meters = meters
        self._look_at = 0.0
        self._turn = 0
        # Of deep queues: how many jobs there were, how many to count at most, and when to count again.
        self._deep: dict[str, tuple[int, int, float]] = {}

    def round(self, broker: Broker, *, last: bool = False, now: float | None = None) -> None:
        """Do what is due.

        What a store refuses is kept for the next time. That it refuses is told by those who need it: figures hold up nothing.

        Parameters:
            last: there is no next time.
            now: in monotonic seconds.
        """
        now = time.monotonic() if now is None else now
        with suppress(StoreError):
            if now >= self._look_at:
                self._look_at = now + _LOOK
                self._look(broker, now)
            self._write(broker, now, last=last)

    def _look(self, broker: Broker, now: float) -> None:
        for _ in range(min(_QUEUES, len(self._queues))):
            queue = self._queues[self._turn % len(self._queues)]
            self._turn += 1
            self._meters.saw(queue, self._backlog(broker, queue, now))

    def _backlog(self, broker: Broker, queue: str, now: float) -> Backlog:
        """What waits in a queue. A deep one is counted to its end as often as that takes a hundredth of the time."""
        seen = broker.backlog([queue])
        if seen.ready < COUNTED:
            self._deep.pop(queue, None)
            return seen
        ready, most, again_at = self._deep.get(queue, (0, _DEEP[0], 0.0))
        if now >= again_at:
            began = time.monotonic()
            ready = broker.backlog([queue], most=most).ready
            took = time.monotonic() - began
            if ready >= most and took < _SWIFT:
                most = _DEEP[1]
            self._deep[queue] = ready, most, now + _REST * took
        return Backlog(max(seen.ready, ready), seen.waited)

    def _write(self, broker: Broker, now: float, *, last: bool) -> None:
        for span in KEPT:
            if last or self._meters.is_due(span, now):
                number, point = self._meters.point(span, now)
                broker.record(self._worker, span, number, point)
                self._meters.stored(span, now)
