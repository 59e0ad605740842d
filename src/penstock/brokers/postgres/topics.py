"""Who subscribes to what in a PostgreSQL queue, and the jobs of events."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.brokers.postgres import columns
from penstock.brokers.postgres.link import Link, Session
from penstock.brokers.postgres.storing import store
from penstock.core.topics import Event, Router, Subscription
from penstock.errors import StoreUnavailable

#: Tries of a publish that others changed subscriptions under.
_TRIES = 20


class Topics:
    """What one connection knows of the subscriptions: all of them, as they were after one of their changes, each of which has a number."""

    def __init__(self) -> None:
        self._version = -1
        self._router = Router(())

    def read(self, session: Link | Session) -> list[Subscription]:
        """All subscriptions, in the order of their keys."""
        rows = session.run("subscriptions")
        found = [
            Subscription(group, task, pattern, queue, priority, gate, once)
            for _, group, task, pattern, queue, priority, gate, once in rows
            if group is not None
        ]
        version = int(rows[0][0])
        if version != self._version:
            self._version, self._router = version, Router(found)
        return found

    def subscribe(self, link: Link, subscriptions: Sequence[Subscription]) -> None:
        """See `Broker.subscribe`."""
        with link.transaction() as session:
            session.run("subscriptions_changed")
            for one in subscriptions:
                group, task, pattern = one.key
                session.run(
                    "subscribe", grp=group, task=task, pattern=pattern, queue=one.queue, priority=one.priority,
                    gate=one.gate, once=one.at_most_once,
                )  # fmt: skip

    def unsubscribe(self, link: Link, subscriptions: Sequence[Subscription]) -> int:
        """See `Broker.unsubscribe`."""
        with link.transaction() as session:
            session.run("subscriptions_changed")
            keys = [one.key for one in subscriptions]
            return sum(
                int(session.run("unsubscribe", grp=group, task=task, pattern=pattern)[0][0])
                for group, task, pattern in keys
            )

    def publish(self, link: Link, events: Sequence[Event], now: float | None) -> list[int]:
        """See `Broker.publish`. It takes one statement, which stores nothing where subscriptions have changed."""
        for _ in range(_TRIES):
            out = self._router.fan_out(events)
            if self._version < 0 or not out.jobs or any(job.gate is not None for job in out.jobs):
                return self._stored(link, events, now, always=False)
            (done,) = link.run("publish", version=self._version, **columns.of_jobs(out.jobs), at=now)[0]
            if done:
                return out.groups
            self.read(link)
        raise StoreUnavailable("others kept changing subscriptions: try again")

    def publish_within(self, session: Session, events: Sequence[Event], now: float | None) -> list[int]:
        """The same, in a transaction of the user's."""
        return self._stored(session, events, now, always=True)

    def _stored(
        self, session: Link | Session, events: Sequence[Event], now: float | None, *, always: bool
    ) -> list[int]:
        """Ask who subscribes, and store."""
        self.read(session)
        out = self._router.fan_out(events)
        if out.jobs:
            store(session, out.jobs, now, grow=False, always=always)
        return out.groups
