"""Rows into a table of a SQLite file."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any

from msgspec import UNSET

from penstock.core.bisect import bisect
from penstock.core.text import shown
from penstock.errors import ConfigError, RowRejected, SinkError, StoreError
from penstock.sinks.base import End, OnConflict, Rejected, Sink, Target, Written
from penstock.sinks.job_rows import check_count, left_out, settle
from penstock.sinks.settling import Stale, settling
from penstock.sinks.sqlite import jobs, ledger
from penstock.sinks.sqlite.columns import columns_of, creation, primary_key, quoted
from penstock.sinks.sqlite.rows import Row, Rows
from penstock.stores import sqlite as store


class SqliteSink(Sink):
    """Writes into one table of a SQLite file.

    Parameters:
        url: `sqlite:///path.db`, with `?durability=` as for the broker.
        target: of its table, any character may be in the name.
    """

    def __init__(self, url: str, target: Target) -> None:
        location = store.parse(url)
        options = dict(location.options)
        self._durability = options.pop("durability", "full")
        if options:
            raise ConfigError(f"a SQLite sink has no option {', '.join(options)}: it takes durability")
        self.path = location.path
        self.target = target
        self.table = target.table
        self._name = quoted(target.table)
        self._key = target.key
        self._numbers: frozenset[str] = frozenset()
        self._lock = store.FileLock(self.path)
        self._connection: sqlite3.Connection | None = None
        self._schema: tuple[int, Rows] | None = None
        self._is_pruned = False

    def open(self) -> None:
        """See `Sink.open`."""
        if self._connection is None:
            self._connection = store.connect(self.path, durability=self._durability)
            try:
                with self._transaction() as connection:
                    ledger.create(connection)
                    jobs.create(connection)
            except BaseException:
                self.close()
                raise

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
        statement = creation(self.table, sample, self.target.key)
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

        return self._write(
            payload,
            lambda connection: ledger.recorded(connection, ledger_id),
            lambda connection, written: ledger.record(connection, ledger_id, written, at),
        )

    def write_jobs(
        self, ids: Sequence[bytes], payload: bytes, *, ended: Sequence[bytes] = (), now: float | None = None
    ) -> Written:
        """See `Sink.write_jobs`."""
        at = time.time() if now is None else now
        while True:
            version, rows = self._rows()
            decoded, indexes, rejected = rows.decode(payload)
            check_count(ids, len(decoded) + len(rejected))
            with self._transaction() as connection:
                if _version(connection) != version:
                    continue
                if not self._is_pruned:
                    jobs.prune(connection, at)
                if ended:
                    jobs.forget(connection, left_out(ended, ids))
                known = jobs.enter(connection, ids, at)
                if known:
                    left = [place for place, index in enumerate(indexes) if ids[index] not in known]
                    decoded, indexes = [decoded[place] for place in left], [indexes[place] for place in left]
                refused = self._insert(connection, rows, decoded)
                settled = settle(ids, known, [*rejected, *(Rejected(indexes[place], why) for place, why in refused)])
                jobs.amend(connection, settled)
            self._is_pruned = True
            return settled.written

    def forget_jobs(self, ids: Sequence[bytes]) -> None:
        """See `Sink.forget_jobs`."""
        with self._transaction() as connection:
            jobs.forget(connection, ids)

    def shares(self, broker_url: str) -> bool:
        """See `Sink.shares`: with a queue in the same file."""
        if not broker_url.startswith("sqlite:///"):
            return False
        return os.path.realpath(store.parse(broker_url).path) == os.path.realpath(self.path)

    def write_with(self, payload: bytes, end: End) -> Written | None:
        """See `Sink.write_with`; `end` gets the `sqlite3.Connection`."""
        try:
            return self._write(payload, lambda _: None, settling(end))
        except Stale:
            return None

    def _write(
        self,
        payload: bytes,
        known: Callable[[sqlite3.Connection], Written | None],
        settle: Callable[[sqlite3.Connection, Written], None],
    ) -> Written:
        while True:
            version, rows = self._rows()
            decoded, indexes, rejected = rows.decode(payload)
            with self._transaction() as connection:
                before = known(connection)
                if before is not None:
                    return before
                if _version(connection) != version:
                    continue
                refused = self._insert(connection, rows, decoded)
                rejected += [Rejected(indexes[index], reason) for index, reason in refused]
                rejected.sort(key=lambda row: row.index)
                written = Written(len(decoded) - len(refused), rejected)
                settle(connection, written)
            return written

    def forget(self, prefix: bytes) -> None:
        """See `Sink.forget`."""
        with self._transaction() as connection:
            ledger.forget(connection, prefix)

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
                self._key = self.target.key or primary_key(connection, self.table)
                self._numbers = frozenset(column.name for column in columns if column.is_number)
                self._check_key()
                self._schema = version, Rows(columns, partial=self.target.on_conflict.changes)
            return self._schema

    def _check_key(self) -> None:
        """Refuse, before any row does, a key that the table has no index for."""
        how = self.target.on_conflict
        if how.changes and not self._key:
            raise SinkError(f"table {self.table!r} has no primary key to {how} by: name a --key")
        if how is not OnConflict.ERROR and self._key:
            try:
                self._opened().execute(f"explain {self._statement(self._key)}", [None] * len(self._key))
            except sqlite3.OperationalError as error:
                raise SinkError(
                    f"{shown(', '.join(self._key))} is no key of table {self.table!r} ({shown(str(error))}): "
                    "name the columns of its primary key or of a unique index"
                ) from error

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
        if not names:
            return f"insert into {self._name} default values"
        values = ["insert into", self._name, "(", columns, ") values (", ", ".join("?" * len(names)), ")"]
        return " ".join([*values, *self._on_conflict(names)])

    def _on_conflict(self, names: Sequence[str]) -> list[str]:
        how = self.target.on_conflict
        if how is OnConflict.ERROR:
            return []
        # Not `insert or ignore`, which passes over broken NOT NULL and CHECK constraints as well.
        key = self._key if how.changes else self.target.key
        columns = ["(", ", ".join(map(quoted, key)), ")"] if key else []
        summed = self._numbers if how is OnConflict.ADD else ()
        sets = [f"{quoted(name)} = {_new_value(quoted(name), name in summed)}" for name in names if name not in key]
        update = how.changes and sets
        return ["on conflict", *columns, f"do update set {', '.join(sets)}" if update else "do nothing"]


def _new_value(column: str, summed: bool) -> str:
    """What a column of a row that is there is set to; beside a number, null counts as 0."""
    new = f"excluded.{column}"
    if not summed:
        return new
    both = " and ".join(f"typeof({value}) in ('integer', 'real')" for value in (column, new))
    return f"case when {both} then {column} + {new} else coalesce({new}, {column}) end"


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("pragma schema_version").fetchone()[0]
    return version
