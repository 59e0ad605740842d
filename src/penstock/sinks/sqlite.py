"""Rows into a table of a SQLite file."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any

import msgspec
from msgspec import UNSET

from penstock.core.bisect import bisect
from penstock.errors import ConfigError, RowRejected, SinkError, StoreError
from penstock.sinks.base import LEDGER, Rejected, Sink, Written
from penstock.sinks.sqlite_columns import columns_of, creation, quoted
from penstock.sinks.sqlite_rows import Row, Rows
from penstock.stores import sqlite as store

_CREATE_LEDGER = """
create table if not exists penstock_ledger
(id blob primary key, rows integer not null, rejected blob, at real not null)
"""
_RECORD = "insert into penstock_ledger (id, rows, rejected, at) values (?, ?, ?, ?)"
_RECORDED = "select rows, rejected from penstock_ledger where id = ?"
_FORGET = "delete from penstock_ledger where id >= ?1 and substr(id, 1, length(?1)) = ?1"
_rejections = msgspec.msgpack.Decoder(list[Rejected])


class SqliteSink(Sink):
    """Writes into one table of a SQLite file.

    Parameters:
        url: `sqlite:///path.db`, with `?durability=` as for the broker.
        table: its name, as it is: any character may be in it.
    """

    def __init__(self, url: str, table: str) -> None:
        location = store.parse(url)
        options = dict(location.options)
        self._durability = options.pop("durability", "full")
        if options:
            raise ConfigError(f"a SQLite sink has no option {', '.join(options)}: it takes durability")
        if table.lower() == LEDGER:
            raise ConfigError(f"{LEDGER} is the sink's own table: name another")
        self.path = location.path
        self.table = table
        self._name = quoted(table)
        self._lock = store.FileLock(self.path)
        self._connection: sqlite3.Connection | None = None
        self._schema: tuple[int, Rows] | None = None

    def open(self) -> None:
        """See `Sink.open`."""
        if self._connection is None:
            self._connection = store.connect(self.path, durability=self._durability)
            with self._transaction() as connection:
                connection.execute(_CREATE_LEDGER)

    def close(self) -> None:
        """See `Sink.close`."""
        if self._connection is not None:
            with store.translating(self.path):
                self._connection.close()
            self._connection = None
            self._schema = None
        self._lock.close()

    def exists(self) -> bool:
        """See `Sink.exists`."""
        with store.translating(self.path):
            return bool(columns_of(self._opened(), self.table))

    def create(self, sample: Sequence[dict[str, Any]]) -> None:
        """See `Sink.create`."""
        statement = creation(self.table, sample)
        try:
            with self._transaction() as connection:
                if not columns_of(connection, self.table):
                    connection.execute(statement)
        except StoreError as error:
            if type(error) is StoreError:
                raise SinkError(f"table {self.table!r} can't be created: {error}") from error
            raise

    def write(self, ledger_id: bytes, payload: bytes, *, now: float | None = None) -> Written:
        """See `Sink.write`."""
        at = time.time() if now is None else now
        while True:
            version, rows = self._rows()
            decoded, indexes, rejected = rows.decode(payload)
            with self._transaction() as connection:
                known = _recorded(connection, ledger_id)
                if known is not None:
                    return known
                if _version(connection) != version:
                    continue
                refused = self._insert(connection, rows, decoded)
                rejected += [Rejected(indexes[index], reason) for index, reason in refused]
                rejected.sort(key=lambda row: row.index)
                count = len(decoded) - len(refused)
                packed = msgspec.msgpack.encode(rejected) if rejected else None
                connection.execute(_RECORD, (ledger_id, count, packed, at))
            return Written(count, rejected)

    def forget(self, prefix: bytes) -> None:
        """See `Sink.forget`."""
        with self._transaction() as connection:
            connection.execute(_FORGET, (prefix,))

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise SinkError("the sink is not open")
        return self._connection

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._opened()
        with self._lock, store.translating(self.path):
            connection.execute("begin immediate")
            try:
                yield connection
                connection.execute("commit")
            finally:
                if connection.in_transaction:
                    connection.execute("rollback")

    def _rows(self) -> tuple[int, Rows]:
        """The decoder for the table as it is now, and the version of the schema that it is for."""
        connection = self._opened()
        with store.translating(self.path):
            version = _version(connection)
            if self._schema is None or self._schema[0] != version:
                columns = columns_of(connection, self.table)
                if not columns:
                    raise SinkError(f"there is no table {self.table!r} in {self.path}: create it, or say --create")
                self._schema = version, Rows(columns)
            return self._schema

    def _insert(self, connection: sqlite3.Connection, rows: Rows, decoded: list[Row]) -> list[tuple[int, str]]:
        def insert(part: Sequence[Row]) -> None:
            connection.execute("savepoint part")
            try:
                self._insert_all(connection, rows, part)
            except (sqlite3.IntegrityError, sqlite3.DataError, OverflowError) as error:
                if not connection.in_transaction:
                    raise SinkError(
                        f"a conflict in table {self.table!r} rolls back all that is written with it ({error}): "
                        "take ON CONFLICT ROLLBACK and RAISE(ROLLBACK) out of its definition"
                    ) from error
                connection.execute("rollback to part")
                connection.execute("release part")
                raise RowRejected(str(error)) from error
            connection.execute("release part")

        return bisect(insert, decoded)

    def _insert_all(self, connection: sqlite3.Connection, rows: Rows, part: Sequence[Row]) -> None:
        if not rows.defaulted:
            connection.executemany(self._statement(rows.names), part)
            return
        for given, group in groupby(part, key=lambda row: tuple(value is not UNSET for value in row)):
            names = [name for name, is_given in zip(rows.names, given, strict=True) if is_given]
            values = [tuple(value for value in row if value is not UNSET) for row in group]
            connection.executemany(self._statement(names), values)

    def _statement(self, names: Sequence[str]) -> str:
        columns = ", ".join(map(quoted, names))
        values = ["(", columns, ") values (", ", ".join("?" * len(names)), ")"] if names else ["default values"]
        return " ".join(["insert into", self._name, *values])


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("pragma schema_version").fetchone()[0]
    return version


def _recorded(connection: sqlite3.Connection, ledger_id: bytes) -> Written | None:
    found = connection.execute(_RECORDED, (ledger_id,)).fetchone()
    if found is None:
        return None
    rows, rejected = found
    return Written(rows, _rejections.decode(rejected) if rejected else [], repeated=True)
