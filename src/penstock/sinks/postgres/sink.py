"""Rows into a table of PostgreSQL, by COPY."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict

from penstock.core.bisect import bisect
from penstock.errors import ConfigError, RowRejected, SinkError, StoreUnavailable
from penstock.sinks.base import End, Rejected, Sink, Target, Written
from penstock.sinks.job_rows import check_count, joined, left_out, settle
from penstock.sinks.postgres import jobs, ledger
from penstock.sinks.postgres.columns import creation, quoted, statement, table_of
from penstock.sinks.postgres.copy import Copier
from penstock.sinks.postgres.errors import UNENCODABLE, failure, is_rows_fault, line_of, reason
from penstock.sinks.postgres.rows import Batch, Row
from penstock.sinks.postgres.single import Single
from penstock.sinks.settling import Stale, settling
from penstock.stores import postgres as store
from penstock.stores.pending import Pending, Unfit

T = TypeVar("T")

#: How a msgpack array of one begins.
_ONE_ROW = b"\x91"
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
        self._are_jobs_prepared = False
        self._connection: store.Connection | None = None
        self._copier: Copier | None = None
        self._single: Single | None = None

    def open(self) -> None:
        """See `Sink.open`."""
        self._is_open = True
        try:
            self._connected()
        except BaseException:
            self.close()
            raise

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

        def record(connection: store.Connection, written: Written) -> None:
            if not ledger.record(connection, ledger_id, written, now):
                raise _Changed  # somebody else has just written the same batch

        return self._write(payload, lambda connection: ledger.recorded(connection, ledger_id), record)

    def write_jobs(
        self, ids: Sequence[bytes], payload: bytes, *, ended: Sequence[bytes] = (), now: float | None = None
    ) -> Written:
        """See `Sink.write_jobs`."""
        joined(ids)
        gone = left_out(ended, ids)
        known: dict[bytes, Sequence[Rejected]] = {}
        self._prepare_jobs(time.time() if now is None else now)

        def attempt(copier: Copier) -> Written:
            batch = copier.rows.decode(payload)
            check_count(ids, len(batch.rows) + len(batch.rejected))
            while True:
                try:
                    return write(copier, batch.without(ids, known))
                except jobs.Met:
                    with self._using() as connection:
                        known.update(jobs.known(connection, ids))

        def write(copier: Copier, batch: Batch) -> Written:
            with self._transaction(copier, *([jobs.forgetting(gone)] if gone else [])) as connection:
                # Before the rows, so that those which are in are not met as duplicates of themselves.
                jobs.enter(connection, (id for id in ids if id not in known) if known else ids, now)
                connection.execute(b"savepoint part")
                settled = settle(ids, known, self._insert(connection, copier, batch))
                jobs.amend(connection, settled)
            return settled.written

        return self._tried(attempt)

    def forget_jobs(self, ids: Sequence[bytes]) -> None:
        """See `Sink.forget_jobs`."""
        self._prepare_jobs(time.time())
        with self._using() as connection:
            connection.execute(jobs.forgetting(ids).encode())

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
        """See `Sink.write_with`; `end` gets the `psycopg.Connection` or, of a single row, first a `Pending` statement."""
        try:
            return self._write_one(payload, end) or self._write(payload, lambda _: None, settling(end))
        except Stale:
            return None

    def _write_one(self, payload: bytes, end: End) -> Written | None:
        """Write a payload of one row by one statement; None where that does not do, and nothing was written."""
        if payload[:1] != _ONE_ROW:
            return None
        copier = self._shape()
        batch = copier.rows.decode(payload)
        if not copier.is_plain or batch.types is None or not batch.rows:
            return None
        pending, written = Pending(), Written(1, [])
        try:
            settling(end)(pending, written)
        except Unfit:
            return None
        with self._using() as connection:
            if self._single is None:
                self._single = Single(connection, copier)
            return written if self._single.put(batch, pending) else None

    def forget(self, prefix: bytes) -> None:
        """See `Sink.forget`."""
        with self._using() as connection:
            ledger.forget(connection, prefix)

    def _write(
        self,
        payload: bytes,
        known: Callable[[store.Connection], Written | None],
        settle: Callable[[store.Connection, Written], None],
    ) -> Written:
        def attempt(copier: Copier) -> Written:
            batch = copier.rows.decode(payload)
            with self._transaction(copier, "savepoint part") as connection:
                before = known(connection)
                if before is not None:
                    return before
                rejected = self._insert(connection, copier, batch)
                written = Written(len(batch.rows) + len(batch.rejected) - len(rejected), rejected)
                settle(connection, written)
            return written

        return self._tried(attempt)

    def _prepare_jobs(self, now: float) -> None:
        """Make the ledger of single jobs, and take old ones out of it; not before it is used, as it takes privileges."""
        if not self._are_jobs_prepared:
            with self._using() as connection:
                _have(connection, "ledger_jobs")
                jobs.prune(connection, now)
            self._are_jobs_prepared = True

    def _tried(self, attempt: Callable[[Copier], T]) -> T:
        """Write by what the table is like now, and again when that has changed."""
        for _ in range(_TRIES):
            try:
                return attempt(self._shape())
            except _Changed:
                self._copier = self._single = None
        raise SinkError(f"table {self.target.table!r} is being changed: load again when that is done")

    def _insert(self, connection: store.Connection, copier: Copier, batch: Batch) -> list[Rejected]:
        """Write what can be written after the savepoint; returns what can't, in the order of the payload."""
        fresh = True

        def insert(part: Sequence[Row]) -> None:
            nonlocal fresh
            if not fresh:
                connection.execute(b"release part; savepoint part")
            fresh = False
            try:
                copier.put(connection, part, batch.types)
                if copier.table.deferrable:
                    connection.execute(b"set constraints all immediate")
            except (psycopg.Error, *UNENCODABLE) as error:
                if connection.closed or not is_rows_fault(error):
                    raise
                connection.execute(b"rollback to part")
                fresh = True
                raise RowRejected(reason(error), line_of(error)) from error

        refused = [Rejected(batch.indexes[index], why) for index, why in bisect(insert, batch.rows)]
        return sorted([*batch.rejected, *refused], key=lambda row: row.index)

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
    def _transaction(self, copier: Copier, *others: str) -> Iterator[store.Connection]:
        """A transaction that begins with these statements; raises `_Changed` where the table is not as the copier has it."""
        with self._using() as connection:
            try:
                try:
                    begun = connection.execute(copier.beginning(*others))
                except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
                    raise _Changed from None
                while begun.nextset():
                    pass
                if begun.fetchone() != (copier.table.version,):
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
        except (psycopg.Error, *UNENCODABLE) as error:
            if not connection.closed and not isinstance(error, psycopg.Error):
                raise
            found = failure(error, self._url.shown, self.target.table, is_lost=connection.closed)
            if connection.closed or isinstance(found, StoreUnavailable):
                self._disconnect()
            raise found from error

    def _connected(self) -> store.Connection:
        if not self._is_open:
            raise SinkError("the sink is not open")
        if self._connection is None or self._connection.closed:
            self._connection = store.connect(self._url)
            with self._using() as connection:
                _have(connection, "ledger")
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection = None
        self._copier = self._single = None


class _Changed(Exception):
    """The table is not as it was: look again."""


def _have(connection: store.Connection, ledger: str) -> None:
    """Make a ledger, if there is none."""
    found = connection.execute("select to_regclass(%s)", [f"penstock_{ledger}"]).fetchone()
    if found is None or found[0] is None:
        _create(connection, statement(ledger).encode())


def _create(connection: store.Connection, creating: bytes) -> None:
    """Create a table if there is none, which two sessions that do it at once may not both be able to.

    The one that comes later hears of it in one of three ways: that there is the table, its type, or a row of theirs.
    """
    with suppress(psycopg.errors.DuplicateTable, psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
        connection.execute(creating)
