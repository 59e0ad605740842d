"""One row, and what is to be done with it, as one statement: one round trip, and a third of a transaction's work."""

from __future__ import annotations

from typing import Any

import psycopg
from msgspec import UNSET
from psycopg.pq import Format
from psycopg.rows import tuple_row

from penstock.sinks.postgres.columns import quoted, statement
from penstock.sinks.postgres.copy import Copier
from penstock.sinks.postgres.rows import Batch
from penstock.stores.pending import Binary, BinaryDumper, Pending
from penstock.stores.postgres import Connection

_NOTHING = "select null"


class Single:
    """Writes single rows into a table of a given shape.

    Parameters:
        copier: writes as many rows as there are, into the same table.
    """

    def __init__(self, connection: Connection, copier: Copier) -> None:
        self._copier = copier
        self._cursor = psycopg.Cursor(connection, row_factory=tuple_row)
        self._cursor.adapters.register_dumper(Binary, BinaryDumper)
        self._dumpers: list[Any] = []
        self._texts: dict[tuple[tuple[int, ...], str], bytes] = {}

    def put(self, batch: Batch, pending: Pending) -> bool:
        """Write the row of a batch, and do what is pending; False where something is in the way: then nothing is done.

        Raises:
            psycopg.Error: the connection was lost; either all is done or nothing.
        """
        try:
            values = self._values(batch)
            text = self._text(tuple(values), pending.query or _NOTHING)
            parameters: dict[str, object] = {f"c{index}": value for index, value in values.items()}
            parameters |= {**pending.parameters, "version": self._copier.table.version}
            self._cursor.execute(text, parameters, prepare=False)
        except (psycopg.Error, ValueError, TypeError, OverflowError) as error:
            if self._cursor.connection.closed or (isinstance(error, psycopg.OperationalError) and not error.sqlstate):
                raise
            # Whatever there is against it, a transaction finds out.
            return False
        return self._cursor.rowcount == 1

    def _values(self, batch: Batch) -> dict[int, Binary | None]:
        """The values that are given, by the places of their columns."""
        adapters = self._cursor.adapters
        if not self._dumpers:
            for name in batch.types or ():
                kind = adapters.get_dumper_by_oid(adapters.types[name].oid, Format.BINARY)
                self._dumpers.append(kind(object, self._cursor.connection))
        found: dict[int, Binary | None] = {}
        for index, (value, dumper) in enumerate(zip(batch.rows[0], self._dumpers, strict=True)):
            if value is not UNSET:
                data = None if value is None else dumper.dump(value)
                found[index] = None if data is None else Binary(data)
        return found

    def _text(self, places: tuple[int, ...], query: str) -> bytes:
        text = self._texts.get((places, query))
        if text is None:
            table, names = self._copier.table, self._copier.rows.names
            found = statement("put_one").format(
                table=table.name.replace("%", "%%"),
                columns=", ".join(quoted(names[place]).replace("%", "%%") for place in places),
                values=", ".join(f"%(c{place})s" for place in places),
                version=statement("version").format(oid=table.oid),
                query=query,
            )
            text = self._texts[places, query] = found.encode()
        return text
