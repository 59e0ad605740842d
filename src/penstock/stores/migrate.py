"""Bringing a database's tables up to date by numbered files, safely while others do the same."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from penstock.errors import SchemaTooNew
from penstock.stores.statements import Statements


def migrate(
    path: str,
    connection: sqlite3.Connection,
    transaction: Callable[[], AbstractContextManager[sqlite3.Connection]],
    sql: Statements,
) -> None:
    """Run the migrations that a SQLite file lacks, in one transaction.

    Raises:
        SchemaTooNew: the file has migrations that this version of Penstock does not know.
    """
    known = sql.migrations()
    newest = known[-1][0]
    if schema_version(connection, sql) < newest:
        with transaction():
            # Asked again under the lock: another process may have been first.
            version = schema_version(connection, sql)
            for number, script in known:
                if number > version:
                    for statement in _statements(script):
                        connection.execute(statement)
                    connection.execute(sql["set_schema_version"], (number,))
    version = schema_version(connection, sql)
    if version > newest:
        raise SchemaTooNew(
            f"{path} was written by a newer Penstock (schema {version}, this one knows {newest}): upgrade"
        )


def schema_version(connection: sqlite3.Connection, sql: Statements) -> int:
    """The number of the last migration run, or 0."""
    if connection.execute(sql["has_schema"]).fetchone() is None:
        return 0
    return int(connection.execute(sql["schema_version"]).fetchone()[0])


def _statements(script: str) -> Iterator[str]:
    """Cut a script at its statements' ends; sqlite3's own `executescript` would commit first."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
