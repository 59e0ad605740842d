"""The sides of the SQLite broker that are objects of their own, and the connection that all of them share."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from penstock.brokers.base import Broker
from penstock.brokers.diagnosis import Check, Schema
from penstock.brokers.sqlite import doctor
from penstock.brokers.sqlite.ends import Ends
from penstock.brokers.sqlite.inspector import SqliteInspector
from penstock.brokers.sqlite.memos import SqliteMemos
from penstock.brokers.sqlite.moves import Moves
from penstock.brokers.sqlite.schedules import SqliteSchedules
from penstock.brokers.sqlite.side import Parts
from penstock.brokers.sqlite.transfer import SqliteTransfer
from penstock.brokers.sqlite.workflows import SqliteWorkflows
from penstock.errors import ConfigError, StoreError
from penstock.stores import doorbell, sqlite
from penstock.stores.statements import Statements


class Sides(Broker):
    """What is made of the broker's connection."""

    _path: str
    _durability: str
    _sql: Statements
    _connection: sqlite3.Connection | None
    _lock: sqlite.FileLock
    _bell: doorbell.Doorbell
    _ends: Ends
    _moves: Moves

    def schema(self) -> Schema:
        """See `Broker.schema`."""
        return doctor.schema(self._path, self._sql)

    def diagnose(self) -> Iterable[Check]:
        """See `Broker.diagnose`."""
        return doctor.diagnose(self._path, self._durability, self._sql)

    def ddl(self) -> str:
        """See `Broker.ddl`."""
        noted = self._sql["set_schema_version"]
        return "\n".join(f"{script}\n{noted.replace('?1', str(n))};\n" for n, script in self._sql.migrations())

    def inspector(self) -> SqliteInspector:
        """The reading side, on this broker's connection."""
        return SqliteInspector(self._parts)

    def transfer(self) -> SqliteTransfer:
        """See `Broker.transfer`; on this broker's connection."""
        return SqliteTransfer(self._parts)

    def schedules(self) -> SqliteSchedules:
        """See `Broker.schedules`; on this broker's connection."""
        return SqliteSchedules(self._parts)

    def memos(self) -> SqliteMemos:
        """See `Broker.memos`; on this broker's connection."""
        return SqliteMemos(self._transaction, self._sql)

    def workflows(self) -> SqliteWorkflows:
        """See `Broker.workflows`; on this broker's connection."""
        return SqliteWorkflows(self._parts)

    @property
    def _parts(self) -> Parts:
        return Parts(
            self._path, self._open, self._transaction, self._moves, self._sql, self._ring, self._ends, self._joined
        )

    def _joined(self, tx: object) -> sqlite3.Connection:
        if not isinstance(tx, sqlite3.Connection):
            raise ConfigError(f"tx must be a sqlite3.Connection to {self._path}, not {type(tx).__name__}")
        return tx

    @property
    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError(f"the queue {self._path} is closed: call open() first")
        return self._connection

    def _transaction(self) -> sqlite.Transaction:
        return sqlite.Transaction(self._path, self._open, self._lock)

    def _ring(self, listeners: Sequence[str], *, ready: bool = False) -> None:
        """Wake the workers: jobs have become ready, and the commit that made them so is done.

        Parameters:
            ready: and nothing else has changed; see `Broker.listen`.
        """
        for socket in listeners:
            self._bell.ring(socket, ready=ready)
