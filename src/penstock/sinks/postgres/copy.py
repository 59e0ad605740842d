"""Putting rows into one table of PostgreSQL: COPY straight in or, where rows may be in conflict, by a staging table.

A staging table also serves where COPY can't write: views, and tables whose policies decide row by row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import groupby

import psycopg
from msgspec import UNSET

from penstock.core.text import shown
from penstock.errors import SinkError
from penstock.sinks.base import OnConflict, Target
from penstock.sinks.postgres.columns import Table, quoted, statement
from penstock.sinks.postgres.rows import Row, Rows
from penstock.stores.postgres import Connection


class Copier:
    """Writes decoded rows into a table of a given shape.

    Parameters:
        table: as the catalogue has it now.
        target: what becomes of rows in conflict.

    Raises:
        SinkError: there is no such key.
    """

    def __init__(self, table: Table, target: Target) -> None:
        self._how = target.on_conflict
        self.table = table
        self.rows = Rows(table.columns, partial=self._how.changes)
        self._names = self.rows.names
        self._numbered = {column.name for column in table.columns if column.numbered}
        self._key = target.key or (table.primary_key if self._how.changes else ())
        self._summed = {
            column.name
            for column in table.columns
            if self._how is OnConflict.ADD and column.is_number and column.name not in {*self._key, *self._numbered}
        }
        self._staging = ""
        if self._how.changes and not self._key:
            raise SinkError(f"table {target.table!r} has no primary key to {self._how} by: name a --key")
        missing = [name for name in self._key if name not in self._names]
        if missing and self._how is not OnConflict.ERROR:
            raise SinkError(f"table {target.table!r} has no column {shown(', '.join(missing))} for a --key")
        if not table.copyable or (self._how is not OnConflict.ERROR and (table.unique or self._key)):
            # A name that goes with the shape: one that was made for another shape is never met again.
            shape = blake2b(f"{table.oid} {table.version}".encode(), digest_size=8).hexdigest()
            self._staging = f"penstock_staging_{shape}"
        self._preamble = self._beginning()

    def beginning(self, *others: str) -> bytes:
        """Statements that begin a transaction in which the table keeps its shape.

        Parameters:
            others: to be run in it as well.

        Returns:
            All in one, to be sent at once; the last result is the version of the table.
        """
        return "; ".join([self._preamble, *others, statement("version").format(oid=self.table.oid)]).encode()

    def _beginning(self) -> str:
        statements = ["begin"]
        if self.table.lockable:
            statements.append(f"lock table {self.table.name} in row exclusive mode")
        if self._staging:
            # Here and not once for the connection: a pooler may have changed the session behind it.
            columns = ", ".join(map(quoted, self._names))
            statements.append(self._sql("staging", columns=columns))
        return "; ".join(statements)

    @property
    def is_plain(self) -> bool:
        """Does it write straight into the table, where a row that is in conflict is an error?"""
        return not self._staging and self._how is OnConflict.ERROR

    def check(self, connection: Connection) -> None:
        """Refuse, before any row does, a key that the table has no index for."""
        if self._how is OnConflict.ERROR or not self._key:
            return
        try:
            connection.execute(self._sql("key", key=", ".join(map(quoted, self._key))).encode())
        except psycopg.errors.InvalidColumnReference as error:
            raise SinkError(
                f"{shown(', '.join(self._key))} is no key of table {self.table.name}: "
                "name the columns of its primary key or of a unique index"
            ) from error

    def put(self, connection: Connection, rows: Sequence[Row], types: Sequence[str] | None) -> None:
        """Write rows, all or none: raises what psycopg does, or what a value that can't be encoded does.

        Parameters:
            types: for rows that go as binary.
        """
        for given, found in self._shapes(rows):
            names = [self._names[index] for index in given]
            kinds = None if types is None else [types[index] for index in given]
            whole = len(given) == len(self._names)
            group = found if whole else [tuple([row[index] for index in given]) for row in found]
            if self._staging and names:
                self._merge(connection, names, group, kinds)
            else:
                _copy(connection, self.table.name, names, group, kinds)

    def _shapes(self, rows: Sequence[Row]) -> Iterator[tuple[Sequence[int], Sequence[Row]]]:
        """Rows by which of their columns are given."""
        optional = self.rows.optional
        if not optional:
            yield range(len(self._names)), rows
            return

        def shape(row: Row) -> tuple[bool, ...]:
            return tuple([row[index] is not UNSET for index in optional])

        if self._how.changes:
            # The last of two rows with one key counts, so the order between shapes matters.
            for _, group in groupby(rows, key=shape):
                found = list(group)
                yield _given(found[0]), found
            return
        shapes: dict[tuple[bool, ...], list[Row]] = {}
        for row in rows:
            shapes.setdefault(shape(row), []).append(row)
        for found in shapes.values():
            yield _given(found[0]), found

    def _merge(
        self, connection: Connection, names: Sequence[str], rows: Sequence[Row], types: Sequence[str] | None
    ) -> None:
        places = range(len(rows)) if types is not None else map(str, range(len(rows)))
        placed = [(place, *row) for place, row in zip(places, rows, strict=True)]
        _copy(
            connection, self._staging, ["penstock_place", *names], placed,
            None if types is None else ["int4", *types],
        )  # fmt: skip
        connection.execute(self._merging(names).encode())
        connection.execute(self._sql("empty").encode())

    def _merging(self, names: Sequence[str]) -> str:
        """The statement that moves rows out of staging."""
        columns, key = ", ".join(map(quoted, names)), ", ".join(map(quoted, self._key))
        sets = ", ".join(
            f"{quoted(name)} = {self._new_value(quoted(name), name in self._summed)}"
            for name in names
            if name not in self._key and name not in self._numbered
        )
        if self._how is OnConflict.ERROR:
            return self._sql("insert_all", columns=columns)
        if self._how is OnConflict.IGNORE or not sets:
            return self._sql("insert_new", columns=columns, arbiter=f"({key})" if key else "")
        if any(name not in names for name in self._key):
            return self._sql("upsert_each", columns=columns, key=key, sets=sets)
        if self._how is OnConflict.UPDATE:
            return self._sql("upsert", columns=columns, key=key, sets=sets)
        summed = [
            f"sum({quoted(name)}) over alike as {quoted(name)}" if name in self._summed else quoted(name)
            for name in names
        ]
        return self._sql("add", columns=columns, key=key, summed=", ".join(summed), sets=sets)

    @staticmethod
    def _new_value(column: str, summed: bool) -> str:
        """What a column of a row that is there is set to; beside a number, null counts as 0."""
        new = f"excluded.{column}"
        old = f"penstock_there.{column}"
        return f"coalesce({old} + {new}, {old}, {new})" if summed else new

    def _sql(self, name: str, **parts: str) -> str:
        return statement(name).format(table=self.table.name, staging=self._staging, **parts)


def _given(row: Row) -> list[int]:
    return [index for index, value in enumerate(row) if value is not UNSET]


def _copy(
    connection: Connection, table: str, names: Sequence[str], rows: Sequence[Row], types: Sequence[str] | None
) -> None:
    if not names:
        for _ in rows:  # what COPY has no form for
            connection.execute(f"insert into {table} default values".encode())
        return
    how = "" if types is None else " (format binary)"
    statement = f"copy {table} ({', '.join(map(quoted, names))}) from stdin{how}".encode()
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        if types is not None:
            copy.set_types(types)
        write = copy.write_row
        for row in rows:
            write(row)
