"""What a broker on RabbitMQ leaves to its backend alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from penstock.brokers.amqp.keeper import Keeper
from penstock.brokers.amqp.link import Link
from penstock.brokers.base import Broker
from penstock.brokers.schedules import ScheduleStore
from penstock.brokers.workflows import Workflows
from penstock.core.metrics import Point
from penstock.core.topics import Subscription


class Backed(Broker):
    """The part of the broker that asks RabbitMQ nothing. One thread at a time has its link, and so the backend."""

    _link: Link
    _keeper: Keeper

    def depart(self, worker: str) -> None:
        """See `Broker.depart`."""
        with self._link.held():
            self._keeper.open().depart(worker)

    def promote(self, *, now: float | None = None, limit: int = 10_000) -> float | None:
        """See `Broker.promote`: messages come when they are due by themselves."""
        with self._link.held():
            return self._keeper.open().promote(now=now, limit=limit)

    def record(self, worker: str, span: int, number: int, point: Point, *, now: float | None = None) -> bool:
        """See `Broker.record`."""
        with self._link.held():
            return self._keeper.open().record(worker, span, number, point, now=now)

    def unsubscribe(self, subscriptions: Sequence[Subscription]) -> int:
        """See `Broker.unsubscribe`."""
        with self._link.held():
            return self._keeper.open().unsubscribe(subscriptions)

    def schedules(self) -> ScheduleStore:
        """See `Broker.schedules`: the backend has them, and the jobs of their runs."""
        with self._link.held():
            return self._keeper.open().schedules()

    def workflows(self) -> Workflows:
        """See `Broker.workflows`: the backend has them, and their jobs; `MissingFeature` where it keeps none."""
        with self._link.held():
            return self._keeper.open().workflows()

    def unpark(self, tasks: Sequence[str]) -> int:
        """See `Broker.unpark`."""
        with self._link.held():
            return self._keeper.open().unpark(tasks)

    def prune(self, *, now: float | None = None) -> int:
        """See `Broker.prune`."""
        with self._link.held():
            return self._keeper.open().prune(now=now)

    def watch_ends(self, tell: Callable[[Sequence[bytes]], None]) -> AbstractContextManager[bool]:
        """See `Broker.watch_ends`: what is known of an end is in the backend."""
        with self._link.held():
            return self._keeper.open().watch_ends(tell)

    def tell_ended(self, ids: Sequence[bytes]) -> None:
        """See `Broker.tell_ended`."""
        with self._link.held():
            self._keeper.open().tell_ended(ids)
