"""Rows into a table of PostgreSQL, by COPY."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import msgspec
import psycopg
from psycopg.conninfo import conninfo_to_dict

from penstock.core.bisect import bisect
from penstock.errors import ConfigError, RowRejected, SinkError, StoreUnavailable
from penstock.sinks.base import End, Rejected, Sink, Target, Written
from penstock.sinks.postgres_columns import creation, quoted, statement, table_of
from penstock.sinks.postgres_copy import Copier
from penstock.sinks.postgres_errors import failure, is_rows_fault, line_of, reason
from penstock.sinks.postgres_rows import Batch, Row
from penstock.stores import postgres as store

_RECORD = """
insert into penstock_ledger (id, rows, rejected, at)
values (%(id)s, %(rows)s, %(rejected)s, coalesce(to_timestamp(%(at)s), now()))
"""
_RECORDED = "select rows, rejected from penstock_ledger where id = %(id)s"
_FORGET = "delete from penstock_ledger where id >= %(prefix)s and substr(id, 1, length(%(prefix)s)) = %(prefix)s"
_rejections = msgspec.msgpack.Decoder(list[Rejected])

#: A table that changes all the time is given up on.
_TRIES = 5
#: The parts of a URL that say which database it is, and as whom.
_PLACE = ("host", "hostaddr", "port", "dbname", "user")
_BROKER_OPTIONS = ("schema", "namespace")


class PostgresSink(Sink):
    """Writes into one table of a PostgreSQL database.

    Parameters:
        url: `postgresql://user:password@host/database`, with what libpq takes after `?`.
        target: of its table, a schema may stand before a dot.
    """

    def __init__(self, url: str, target: Target) -> None:
        self._url = store.parse(url, ())
        self.target = target
        quoted(target.table.rpartition(".")[2])
        self._is_open = False
        self._connection: store.Connection | None = None
        self._copier: Copier | None = None

    def open(self) -> None:
        """See `Sink.open`."""
        self._is_open = True
        self._connected()

    def close(self) -> None:
        """See `Sink.close`."""
        self._is_open = False
        self._disconnect()

    def exists(self) -> bool:
        """See `Sink.exists`."""
        with self._using() as connection:
            return table_of(connection, self.target.table) is not None

    def create(self, sample: Sequence[dict[str, Any]]) -> None:
        """See `Sink.create`."""
        statement = creation(self.target.table, sample, self.target.key).encode()
        with self._using() as connection:
            _create(connection, statement)

    def write(self, ledger_id: bytes, payload: bytes, *, now: float | None = None) -> Written:
        """See `Sink.write`."""

        def known(connection: store.Connection) -> Written | None:
            found = connection.execute(_RECORDED, {"id": ledger_id}).fetchone()
            if found is None:
                return None
            return Written(found[0], _rejections.decode(found[1]) if found[1] else [], repeated=True)

        def record(connection: store.Connection, written: Written) -> None:
            packed = msgspec.msgpack.encode(written.rejected) if written.rejected else None
            try:
                connection.execute(_RECORD, {"id": ledger_id, "rows": written.rows, "rejected": packed, "at": now})
            except psycopg.errors.UniqueViolation:
                raise _Changed from None  # somebody else has just written the same batch

        return self._write(payload, known, record)

    def shares(self, broker_url: str) -> bool:
        """See `Sink.shares`: with a queue in the same database, used by the same user."""
        if not broker_url.startswith(("postgresql://", "postgres://")):
            return False
        try:
            theirs = conninfo_to_dict(store.parse(broker_url, _BROKER_OPTIONS).conninfo)
        except ConfigError:
            return False
        ours = conninfo_to_dict(self._url.conninfo)
        return all(ours.get(name) == theirs.get(name) for name in _PLACE)

    def write_with(self, payload: bytes, end: End) -> Written | None:
        """See `Sink.write_with`; `end` gets the `psycopg.Connection`."""

        def settle(connection: store.Connection, written: Written) -> None:
            if not end(connection, written):
                raise _Stale

        try:
            return self._write(payload, lambda _: None, settle)
        except _Stale:
            return None

    def forget(self, prefix: bytes) -> None:
        """See `Sink.forget`."""
        with self._using() as connection:
            connection.execute(_FORGET, {"prefix": prefix})

    def _write(
        self,
        payload: bytes,
        known: Callable[[store.Connection], Written | None],
        settle: Callable[[store.Connection, Written], None],
    ) -> Written:
        for _ in range(_TRIES):
            copier = self._shape()
            batch = copier.rows.decode(payload)
            try:
                with self._transaction(copier) as connection:
                    before = known(connection)
                    if before is not None:
                        return before
                    refused = self._insert(connection, copier, batch)
                    rejected = [*batch.rejected, *(Rejected(batch.indexes[index], why) for index, why in refused)]
                    rejected.sort(key=lambda row: row.index)
                    written = Written(len(batch.rows) - len(refused), rejected)
                    settle(connection, written)
                return written
            except _Changed:
                self._copier = None
        raise SinkError(f"table {self.target.table!r} is being changed: load again when that is done")

    def _insert(self, connection: store.Connection, copier: Copier, batch: Batch) -> list[tuple[int, str]]:
        fresh = True  # the transaction begins with a savepoint

        def insert(part: Sequence[Row]) -> None:
            nonlocal fresh
            if not fresh:
                connection.execute(b"release part; savepoint part")
            fresh = False
            try:
                copier.put(connection, part, batch.types)
                if copier.table.deferrable:
                    connection.execute(b"set constraints all immediate")
            except (psycopg.Error, ValueError, TypeError, OverflowError, RecursionError) as error:
                if connection.closed or (isinstance(error, psycopg.Error) and not is_rows_fault(error)):
                    raise
                connection.execute(b"rollback to part")
                fresh = True
                raise RowRejected(reason(error), line_of(error)) from error

        return bisect(insert, batch.rows)

    def _shape(self) -> Copier:
        """How to write into the table as it is now."""
        if self._copier is None:
            with self._using() as connection:
                table = table_of(connection, self.target.table)
                if table is None:
                    raise SinkError(
                        f"there is no table {self.target.table!r} in {self._url.shown}: create it, or say --create"
                    )
                copier = Copier(table, self.target)
                copier.check(connection)
            self._copier = copier
        return self._copier

    @contextmanager
    def _transaction(self, copier: Copier) -> Iterator[store.Connection]:
        """A transaction in which the table is as the copier knows it; raises `_Changed` where it is not."""
        with self._using() as connection:
            try:
                try:
                    connection.execute(copier.preamble)
                except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
                    raise _Changed from None
                version = connection.execute(statement("version"), {"oid": copier.table.oid}).fetchone()
                if version is None or version[0] != copier.table.version:
                    raise _Changed
                yield connection
                connection.execute(b"commit")
            finally:
                if not connection.closed and connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                    with suppress(psycopg.Error):
                        connection.execute(b"rollback")

    @contextmanager
    def _using(self) -> Iterator[store.Connection]:
        """The connection; made anew when it was lost, and given up when that happens inside."""
        connection = self._connected()
        try:
            yield connection
        except psycopg.Error as error:
            found = failure(error, self._url.shown, self.target.table)
            if connection.closed or isinstance(found, StoreUnavailable):
                self._disconnect()
            raise found from error

    def _connected(self) -> store.Connection:
        if not self._is_open:
            raise SinkError("the sink is not open")
        if self._connection is None or self._connection.closed:
            self._connection = store.connect(self._url)
            with self._using() as connection:
                found = connection.execute("select to_regclass('penstock_ledger')").fetchone()
                if found is None or found[0] is None:
                    _create(connection, statement("ledger").encode())
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection = None
        self._copier = None


class _Changed(Exception):
    """The table is not as it was: look again."""


class _Stale(Exception):
    """What the batch came from has another holder now."""


def _create(connection: store.Connection, creating: bytes) -> None:
    """Create a table if there is none, which two sessions that do it at once may not both be able to."""
    with suppress(psycopg.errors.UniqueViolation, psycopg.errors.DuplicateTable):
        connection.execute(creating)
