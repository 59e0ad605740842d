"""Who subscribes to what in a SQLite queue; inside transactions that the caller has begun."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from penstock.core.topics import Router, Routing, Subscription
from penstock.stores.statements import Statements


class Topics:
    """The subscriptions of one namespace."""

    def __init__(self, sql: Statements) -> None:
        self._sql = sql
        self._routing = Routing()

    def subscriptions(self, connection: sqlite3.Connection) -> list[Subscription]:
        """All that there are, in the order of their keys."""
        rows = connection.execute(self._sql["subscriptions"]).fetchall()
        return [
            Subscription(group, task, pattern, queue, priority, gate, bool(once))
            for group, task, pattern, queue, priority, gate, once in rows
        ]

    def router(self, connection: sqlite3.Connection) -> Router:
        """Who gets what as things stand."""
        return self._routing.of(self.subscriptions(connection))

    def subscribe(self, connection: sqlite3.Connection, subscriptions: Sequence[Subscription]) -> None:
        """See `Broker.subscribe`."""
        for one in subscriptions:
            row = (one.group, one.task, one.pattern, one.queue, one.priority, one.gate, one.at_most_once)
            connection.execute(self._sql["subscribe"], row)
            connection.execute(self._sql["subscribe_all"], row)

    def unsubscribe(self, connection: sqlite3.Connection, subscriptions: Sequence[Subscription]) -> int:
        """See `Broker.unsubscribe`."""
        return sum(connection.execute(self._sql["unsubscribe"], one.key).rowcount for one in subscriptions)
