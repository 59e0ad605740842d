"""A caller's own open transaction: psycopg's connection, wherever it is wrapped up; or a statement that a sink is making."""

from __future__ import annotations

from functools import partial
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from penstock.brokers.postgres.link import Session
from penstock.brokers.postgres.wire import cursor_of, fetched
from penstock.errors import ConfigError
from penstock.stores.pending import Pending, Unfit
from penstock.stores.statements import Statements

_WANTED = "tx must be a psycopg.Connection, or an SQLAlchemy Connection or Session on postgresql+psycopg://"


class _Part(Session):
    """Makes a statement a part of a caller's."""

    def __init__(self, pending: Pending, sql: Statements) -> None:
        self._pending = pending
        self._sql = sql

    def run(self, name: str, **parameters: object) -> list[TupleRow]:
        """See `Session.run`: its result is taken to be null, and the caller's statement does nothing where it is not."""
        if name != "finish":
            raise Unfit
        self._pending.add(self._sql[name], parameters)
        return [(None,)]


def joined(tx: object, sql: Statements) -> Session:
    """Statements inside a caller's transaction, or in its statement; `ConfigError` when it is none of PostgreSQL's by psycopg."""
    if isinstance(tx, Pending):
        return _Part(tx, sql)
    connection = tx if isinstance(tx, psycopg.Connection) else _unwrapped(tx)
    if connection.closed:
        raise ConfigError("tx is a connection that is closed: hand over an open one")
    return Session(partial(fetched, cursor_of(connection)), sql)


def _unwrapped(tx: Any) -> psycopg.Connection[Any]:
    """The driver's connection below an SQLAlchemy one, whose transaction is begun, so that its commit is not left out."""
    kind = type(tx)
    if not any(base.__module__.startswith("sqlalchemy.") for base in kind.__mro__):
        raise ConfigError(f"{_WANTED}, not {kind.__module__}.{kind.__qualname__}")
    connection = tx.connection() if callable(getattr(tx, "connection", None)) else tx
    driver = getattr(getattr(connection, "connection", None), "driver_connection", None)
    if not isinstance(driver, psycopg.Connection):
        raise ConfigError(f"{_WANTED}, not {kind.__qualname__} on {type(driver).__module__}")
    if not connection.in_transaction():
        connection.begin()
    return driver
