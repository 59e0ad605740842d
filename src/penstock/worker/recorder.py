"""Writes what a worker has counted to the store, with the connection of the upkeep."""

from __future__ import annotations

import time
from contextlib import suppress

from penstock.brokers.base import Broker
from penstock.core.metrics import KEPT
from penstock.errors import StoreError
from penstock.worker.meters import Meters

#: Seconds between two looks at the queues.
_LOOK = 2.0
#: Queues that one look sees; a worker of more takes them in turn.
_QUEUES = 8


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
                self._look(broker)
            self._write(broker, now, last=last)

    def _look(self, broker: Broker) -> None:
        for _ in range(min(_QUEUES, len(self._queues))):
            queue = self._queues[self._turn % len(self._queues)]
            self._turn += 1
            self._meters.saw(queue, broker.backlog([queue]))

    def _write(self, broker: Broker, now: float, *, last: bool) -> None:
        for span in KEPT:
            if last or self._meters.is_due(span, now):
                number, point = self._meters.point(span, now)
                broker.record(self._worker, span, number, point)
                self._meters.stored(span, now)
