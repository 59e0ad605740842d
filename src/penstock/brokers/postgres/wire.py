"""Statements straight to libpq: the way through psycopg's cursor took twice as much of the client's processor."""

from __future__ import annotations

import re
import select
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from hashlib import blake2b
from typing import Any

import psycopg
from psycopg.adapt import Buffer, Loader, PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus, Format
from psycopg.pq.abc import PGresult
from psycopg.rows import TupleRow, tuple_row

from penstock.stores import postgres
from penstock.stores.pending import Binary, BinaryDumper

_PARAMETER = re.compile(r"%(?:%|\((\w+)\)s)")
#: Uses of a statement, with values of the same types, from which on it is prepared; and how many of them a session keeps, at most.
_OFTEN, _MOST = 5, 50
#: The session knows nothing of it, for a pooler has handed us another, or what it knows is out of date.
_FORGOTTEN = (psycopg.errors.InvalidSqlStatementName, psycopg.errors.FeatureNotSupported)


class Wire:
    """One statement after the other on a connection of ours, which is in autocommit mode.

    Whatever interrupts the wait for an answer, an exception of a signal's handler say, closes the connection: what came
    next on it would be the answer to something else.
    """

    def __init__(self, connection: postgres.Connection) -> None:
        self.connection = connection
        self._pgconn = connection.pgconn
        self._transformer = Transformer.from_context(cursor_of(connection))
        self._socket = connection.fileno()
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self._prepares = True
        #: Statements, and the types of their values: how often they were used, and what they were prepared as.
        self._uses: Counter[tuple[object, ...]] = Counter()
        self._prepared: dict[tuple[object, ...], bytes] = {}

    def run(self, text: str, parameters: Mapping[str, object], *, often: bool = False) -> list[TupleRow]:
        """Run a statement; returns as `fetched` does.

        Parameters:
            often: prepare it in the session if it comes again and again. Outside of a transaction only: it may fail, and is run once more then.
        """
        query, values = self._dumped(text, parameters)
        name = self._name(query) if often and self._prepares else None
        if name is not None:
            self._pgconn.send_query_prepared(name, values, self._transformer.formats, Format.BINARY)
            try:
                return self.answer()
            except _FORGOTTEN:
                self._prepares = False
        self._send(query, values)
        return self.answer()

    def send(self, text: str, parameters: Mapping[str, object]) -> None:
        """Send a statement, and go on; `answer` is to be called next."""
        self._send(*self._dumped(text, parameters))

    def _send(self, query: bytes, values: Sequence[Buffer | None]) -> None:
        """Send a statement with the values that were dumped last."""
        transformer = self._transformer
        self._pgconn.send_query_params(query, values, transformer.types, transformer.formats, Format.BINARY)

    def _dumped(self, text: str, parameters: Mapping[str, object]) -> tuple[bytes, Sequence[Buffer | None]]:
        query, names = _numbered(text)
        return query, self._transformer.dump_sequence(
            [parameters[name] for name in names], [PyFormat.AUTO] * len(names)
        )

    def _name(self, query: bytes) -> bytes | None:
        """As what it is prepared, for values of the types of those that were dumped last; None where it is not."""
        types = self._transformer.types
        key = query, types
        if key not in self._prepared:
            self._uses[key] += 1
            if self._uses[key] < _OFTEN or len(self._prepared) >= _MOST:
                return None
            # Made of what it stands for: behind a pooler others prepare theirs in the same session.
            name = b"penstock_" + blake2b(repr(types).encode() + query, digest_size=16).hexdigest().encode()
            self._pgconn.send_prepare(name, query, types)
            with suppress(psycopg.errors.DuplicatePreparedStatement):
                self.answer()
            self._prepared[key] = name
        return self._prepared[key]

    def answer(self) -> list[TupleRow]:
        """What came of the statement that was sent."""
        try:
            result = self._result()
        except psycopg.Error:
            self.connection.close()
            raise
        except BaseException:
            self.connection.give_up()
            raise
        if result.status == ExecStatus.TUPLES_OK:
            self._transformer.set_pgresult(result)
            return self._transformer.load_rows(0, result.ntuples, tuple)
        if result.status == ExecStatus.COMMAND_OK:
            return [(result.command_tuples or 0,)]
        error = error_from_result(result, self.connection.info.encoding)
        if self._pgconn.status == ConnStatus.BAD and not error.sqlstate:
            raise psycopg.OperationalError(str(error))
        raise error

    def heard(self) -> list[str]:
        """What the notifications say that have come by now."""
        self._pgconn.consume_input()
        found: list[str] = []
        while (one := self._pgconn.notifies()) is not None:
            found.append(one.extra.decode())
        return found

    def _result(self) -> PGresult:
        pgconn = self._pgconn
        while pgconn.flush():
            # A server that takes no more may be waiting for us to read what it has said.
            self._poll.modify(self._socket, select.POLLIN | select.POLLOUT)
            self._wait()
            self._poll.modify(self._socket, select.POLLIN)
            pgconn.consume_input()
        result = None
        while True:
            while pgconn.is_busy():
                self._wait()
                pgconn.consume_input()
            following = pgconn.get_result()
            if following is None:
                break
            result = following
        if result is None:
            raise psycopg.OperationalError("the connection is lost")
        return result

    def _wait(self) -> None:
        if not self._poll.poll(self.connection.patience * 1000):
            self.connection.give_up()
            raise postgres.NoAnswer(self.connection.patience)


@cache
def _numbered(text: str) -> tuple[bytes, tuple[str, ...]]:
    """A statement with numbers for its parameters' names, and the names."""
    names: dict[str, int] = {}

    def number(found: re.Match[str]) -> str:
        name = found[1]
        return "%" if name is None else f"${names.setdefault(name, len(names) + 1)}"

    return _PARAMETER.sub(number, text).encode(), tuple(names)


def cursor_of(connection: psycopg.Connection[Any]) -> psycopg.Cursor[TupleRow]:
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
