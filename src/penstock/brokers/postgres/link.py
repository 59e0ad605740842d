"""One connection to PostgreSQL that comes back by itself, and statements on it."""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

import psycopg
from psycopg.rows import TupleRow

from penstock.brokers.postgres.wire import Wire
from penstock.errors import StoreError
from penstock.stores import postgres
from penstock.stores.statements import Statements

#: The database undid the whole statement for the sake of another session: the same again is right.
_AGAIN = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)
_TRIES = 4
#: What each job needs. They only call functions, whose plans do not depend on the values: nothing is lost by a plan for all of them.
_OFTEN = frozenset({"exchange", "finish", "store_one", "take"})
#: The peer has closed its end: Linux tells at once, others by what is read.
_HUNG_UP = getattr(select, "POLLRDHUP", 0)


class Link:
    """A connection, and the statements of one schema on it.

    After a lost connection the next statement connects anew, once: where that fails, `StoreUnavailable` is raised, and
    the caller waits and tries again.
    """

    def __init__(self, url: postgres.PostgresUrl, sql: Statements) -> None:
        self.url = url
        self.sql = sql
        self._wire: Wire | None = None
        self._poll = select.poll()
        self._watched = -1
        self._opened = False

    def open(self) -> postgres.Connection:
        """Connect, where it is not connected; returns the connection."""
        self._opened = True
        return self._connected().connection

    def check_open(self) -> None:
        """Raise `StoreError` where it was not opened, or was closed."""
        if not self._opened:
            raise StoreError(f"the queue {self.url.shown} is closed: call open() first")

    def close(self) -> None:
        """Disconnect."""
        self._opened = False
        self._drop()

    def run(self, name: str, **parameters: object) -> list[TupleRow]:
        """Run a statement in a transaction of its own; returns its rows."""
        for tries in range(_TRIES):
            wire = self._connected()
            try:
                return wire.run(self.sql[name], parameters, often=name in _OFTEN)
            except psycopg.Error as error:
                if isinstance(error, _AGAIN) and tries + 1 < _TRIES:
                    continue
                if wire.connection.closed:
                    self._drop()
                raise postgres.translated(error, self.url.shown) from error
        raise AssertionError

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Several statements in one transaction."""
        wire = self._connected()
        try:
            with wire.connection.transaction():
                yield Session(wire.run, self.sql)
        except psycopg.Error as error:
            if wire.connection.closed:
                self._drop()
            raise postgres.translated(error, self.url.shown) from error

    @property
    def is_connected(self) -> bool:
        """False after a connection was lost, or before the first."""
        return self._wire is not None

    def _connected(self) -> Wire:
        self.check_open()
        if self._wire is not None and self._is_lost(self._wire.connection):
            self._drop()
        if self._wire is None:
            connection = postgres.connect(self.url)
            self._watched = connection.fileno()
            self._poll.register(self._watched, select.POLLIN | _HUNG_UP)
            self._wire = Wire(connection)
        return self._wire

    def _is_lost(self, connection: postgres.Connection) -> bool:
        """Whether the server has hung up while nothing was asked: then it has said so, and that can be read."""
        if connection.closed:
            return True
        events = self._poll.poll(0)
        if not events:
            return False
        if events[0][1] & ~select.POLLIN:
            return True
        try:
            connection.pgconn.consume_input()
        except psycopg.Error:
            return True
        return connection.closed

    def _drop(self) -> None:
        if self._wire is not None:
            with suppress(KeyError):
                self._poll.unregister(self._watched)
            self._wire.connection.close()
        self._wire = None


class Session:
    """Statements inside a transaction that somebody else ends.

    Parameters:
        execute: runs the text of one, with its parameters by name; returns its rows.
    """

    def __init__(self, execute: Callable[[str, Mapping[str, object]], list[TupleRow]], sql: Statements) -> None:
        self._execute = execute
        self._sql = sql

    def run(self, name: str, **parameters: object) -> list[TupleRow]:
        """Run a statement; returns its rows."""
        return self._execute(self._sql[name], parameters)
