"""One connection to PostgreSQL that comes back by itself, and statements on it."""

from __future__ import annotations

import select
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg.adapt import Buffer, Loader
from psycopg.pq import Format
from psycopg.rows import TupleRow, tuple_row

from penstock.errors import StoreError
from penstock.stores import postgres
from penstock.stores.pending import Binary, BinaryDumper
from penstock.stores.statements import Statements

#: The database undid the whole statement for the sake of another session: the same again is right.
_AGAIN = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)
_TRIES = 4
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
        self._connection: postgres.Connection | None = None
        self._cursor: psycopg.Cursor[TupleRow] | None = None
        self._poll = select.poll()
        self._watched = -1
        self._opened = False

    def open(self) -> postgres.Connection:
        """Connect, where it is not connected; returns the connection."""
        self._opened = True
        self._connected()
        assert self._connection is not None
        return self._connection

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
            cursor = self._connected()
            try:
                return fetched(cursor, self.sql[name], parameters)
            except psycopg.Error as error:
                if isinstance(error, _AGAIN) and tries + 1 < _TRIES:
                    continue
                if cursor.connection.closed:
                    self._drop()
                raise postgres.translated(error, self.url.shown) from error
        raise AssertionError

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Several statements in one transaction."""
        cursor = self._connected()
        try:
            with cursor.connection.transaction():
                yield Session(cursor, self.sql)
        except psycopg.Error as error:
            if cursor.connection.closed:
                self._drop()
            raise postgres.translated(error, self.url.shown) from error

    @property
    def is_connected(self) -> bool:
        """False after a connection was lost, or before the first."""
        return self._cursor is not None

    def _connected(self) -> psycopg.Cursor[TupleRow]:
        self.check_open()
        if self._cursor is not None and self._is_lost():
            self._drop()
        if self._cursor is None:
            self._connection = postgres.connect(self.url)
            self._watched = self._connection.fileno()
            self._poll.register(self._watched, select.POLLIN | _HUNG_UP)
            self._cursor = prepared(self._connection)
        return self._cursor

    def _is_lost(self) -> bool:
        """Whether the server has hung up while nothing was asked: then it has said so, and that can be read."""
        if self._connection is None or self._connection.closed:
            return True
        events = self._poll.poll(0)
        if not events:
            return False
        if events[0][1] & ~select.POLLIN:
            return True
        try:
            self._connection.pgconn.consume_input()
        except psycopg.Error:
            return True
        return self._connection.closed

    def _drop(self) -> None:
        if self._connection is not None:
            with suppress(KeyError):
                self._poll.unregister(self._watched)
            self._connection.close()
        self._connection = None
        self._cursor = None


class Session:
    """Statements inside a transaction that somebody else ends."""

    def __init__(self, cursor: psycopg.Cursor[TupleRow], sql: Statements) -> None:
        self._cursor = cursor
        self._sql = sql

    def run(self, name: str, **parameters: object) -> list[TupleRow]:
        """Run a statement; returns its rows."""
        return fetched(self._cursor, self._sql[name], parameters)


def prepared(connection: psycopg.Connection[Any]) -> psycopg.Cursor[TupleRow]:
    """A cursor with plain rows, binary values and our own types, whatever its connection is set to."""
    cursor: psycopg.Cursor[TupleRow] = psycopg.Cursor(connection, row_factory=tuple_row)
    cursor.format = Format.BINARY
    cursor.adapters.register_dumper(Binary, BinaryDumper)
    cursor.adapters.register_loader("uuid", _IdLoader)
    return cursor


def fetched(cursor: psycopg.Cursor[TupleRow], text: str, parameters: Mapping[str, object]) -> list[TupleRow]:
    """Run one statement; rows that changed are its only row where it returns none. Driver errors come through."""
    cursor.execute(text.encode(), parameters or None, prepare=False)
    return [(cursor.rowcount,)] if cursor.description is None else cursor.fetchall()


class _IdLoader(Loader):
    """An id as its 16 bytes."""

    format = Format.BINARY

    def load(self, data: Buffer) -> bytes:
        """The bytes."""
        return bytes(data)
