"""The tables of a PostgreSQL queue: which there are, making and upgrading them while others do the same."""

from __future__ import annotations

from psycopg import Connection
from psycopg.rows import TupleRow, tuple_row

from penstock.brokers.diagnosis import Schema
from penstock.errors import SchemaTooNew
from penstock.stores.statements import Statements

_SPELLINGS = {
    "penstock.": '"{}".',
    "'penstock'": "'{}'",
    "schema penstock": 'schema "{}"',
    '"penstock"': '"{}"',
    '"penstock:': '"{}:',
}


def statements(schema: str) -> Statements:
    """The statements for a schema; `ConfigError` where that can be none's name."""
    return Statements("postgres", schema, spellings={} if schema == "penstock" else _SPELLINGS, word="?schema=")


def ddl(schema: str = "penstock") -> str:
    """Everything that makes the tables of a schema, as a script; connects to nothing."""
    sql = statements(schema)
    scripts = (f"{script}\n{_noted(sql, number)};\n" for number, script in sql.migrations())
    return "\n".join(("begin;\n", *scripts, "commit;\n"))


def _noted(sql: Statements, number: int) -> str:
    return sql["set_schema_version"].replace("%(number)s", str(number)).rstrip()


def read(connection: Connection[TupleRow], sql: Statements) -> Schema:
    """The last migration that the database has, and the last one known here."""
    return Schema(_version(connection, sql)[0] or None, sql.migrations()[-1][0])


def migrate(connection: Connection[TupleRow], sql: Statements, shown: str) -> None:
    """Run the migrations that a schema lacks, in one transaction, one process at a time.

    Raises:
        SchemaTooNew: a newer Penstock has changed the tables so that this version can't work with them. Where it could
            make them so that this version still can, it said so in the table itself.
    """
    known = sql.migrations()
    newest = known[-1][0]
    version, oldest = _version(connection, sql)
    if version < newest:
        with connection.transaction():
            connection.execute(sql["lock_schema"])
            # Asked again under the lock: another process may have been first.
            version, oldest = _version(connection, sql)
            for number, script in known:
                if number > version:
                    connection.execute(script.encode())
                    connection.execute(_noted(sql, number).encode())
    if oldest > newest:
        raise SchemaTooNew(
            f"{shown} was upgraded by a newer Penstock (schema {version}, which takes at least {oldest}; "
            f"this one knows {newest}): upgrade"
        )


def _version(connection: Connection[TupleRow], sql: Statements) -> tuple[int, int]:
    """The last migration run, and the least one that whoever uses the tables must know; zeros where there are none."""
    cursor = connection.cursor(row_factory=tuple_row)
    there = cursor.execute(sql["has_schema"]).fetchone()
    if there is None or not there[0]:
        return 0, 0
    found: dict[str, int] = dict(cursor.execute(sql["schema_version"]).fetchall())
    return found.get("schema", 0), found.get("oldest", 0)
