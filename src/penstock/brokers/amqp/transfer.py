"""How the jobs of a RabbitMQ leave, by way of the backend, and how others arrive: in the backend, whose jobs the workers run as well.

They arrive as jobs of the backend since that notes in the same transaction that they have: messages that were published by a mover that was
killed would be published again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from msgspec.structs import replace

from penstock.brokers.amqp.keeper import RESULT
from penstock.brokers.amqp.leaving import LEAVING, Leaving, arriving
from penstock.brokers.transfer import Arrival, Left, Pending, Transfer, beside
from penstock.core.shipment import Shipment

#: Seconds after which nobody writes a result any more.
_WRITING = 10.0


class AmqpTransfer:
    """See `penstock.brokers.transfer.Transfer`. Made by `AmqpBroker.transfer`, whose connection it uses.

    Parameters:
        backend: of the backend.
        leaving: lets messages leave.
        held: has the connection for oneself.
    """

    def __init__(self, backend: Transfer, leaving: Leaving, held: Callable[[], AbstractContextManager[None]]) -> None:
        self._backend = backend
        self._leaving = leaving
        self._held = held
        #: Do jobs leave for the backend itself? Then what is there already stays.
        self._to_backend = False
        #: When results were first seen that are being written.
        self._writing: dict[bytes, float] = {}

    def name(self) -> bytes:
        """See `Transfer.name`."""
        with self._held():
            return beside(self._backend.name())

    def ship(
        self, bound_for: bytes, place: str, queues: Sequence[str] | None, most: int, *, now: float | None = None
    ) -> tuple[int, Shipment] | None:
        """See `Transfer.ship`."""
        with self._held():
            self._to_backend = bound_for == self._backend.name()
            for is_first in (True, False):
                found = self._ship(bound_for, place, queues, most, now)
                if found is not None:
                    number, shipment = found[0], self._restored(found[1])
                    if not shipment.is_empty:
                        return number, shipment
                    self._backend.discard(number)
                if not (is_first and self._leaving.draw(queues, most)):
                    break
            return None

    def _restored(self, shipment: Shipment) -> Shipment:
        """What leaves: jobs of their own queues, and nothing of results that workers just write.

        Those are stored again, which tells that the job of their id has not left. Where the worker was killed they are deleted then.
        """
        now = time.monotonic()
        writing = tuple(job for job in shipment.jobs if job.task == RESULT)
        if writing:
            self._backend.receive(Shipment(os.urandom(16), writing))
            self._leaving.forget([job.id for job in writing if now - self._writing.setdefault(job.id, now) > _WRITING])
        return replace(shipment, jobs=tuple(arriving(job) for job in shipment.jobs if job.task != RESULT))

    def _ship(
        self, bound_for: bytes, place: str, queues: Sequence[str] | None, most: int, now: float | None
    ) -> tuple[int, Shipment] | None:
        names = self._names(queues)
        return None if names == [] else self._backend.ship(bound_for, place, names, most, now=now)

    def _names(self, queues: Sequence[str] | None) -> list[str] | None:
        """The queues of the backend that are to leave."""
        if self._to_backend:
            # Only those that have jobs: counters leave with whatever is named, and would come back for ever.
            there = self._leaving.queues()
            return [queue for queue in there if queues is None or queue.removeprefix(LEAVING) in queues]
        return None if queues is None else [*queues, *(LEAVING + queue for queue in queues)]

    def pending(self) -> Sequence[Pending]:
        """See `Transfer.pending`."""
        with self._held():
            return self._backend.pending()

    def shipment(self, number: int) -> Shipment | None:
        """See `Transfer.shipment`."""
        with self._held():
            found = self._backend.shipment(number)
            return None if found is None else self._restored(found)

    def receive(self, shipment: Shipment) -> Arrival | None:
        """See `Transfer.receive`."""
        with self._held():
            return self._backend.receive(shipment)

    def discard(self, number: int) -> None:
        """See `Transfer.discard`."""
        with self._held():
            self._backend.discard(number)

    def settle(self, ids: Sequence[bytes], *, now: float | None = None) -> None:
        """See `Transfer.settle`."""
        with self._held():
            self._backend.settle(ids, now=now)

    def left(self, queues: Sequence[str] | None, *, now: float | None = None) -> Left:
        """See `Transfer.left`. Of messages that run, it is known what workers tell of them with their heartbeats."""
        with self._held():
            names = self._names(queues)
            behind = Left() if names == [] else self._backend.left(names, now=now)
            waiting, running = self._leaving.waiting(queues)
            return Left(behind.movable + waiting, max(behind.held, running))
