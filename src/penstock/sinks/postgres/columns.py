"""The columns of a PostgreSQL table: as they are, and as inferred from records."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from penstock.errors import SinkError
from penstock.sinks.records import kinds_of
from penstock.stores.postgres import Connection

_NUMBERS = frozenset({"int2", "int4", "int8", "float4", "float8", "numeric"})
_LONGEST_NAME = 63  # bytes; PostgreSQL cuts off what is more
_ISO_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)\Z")


class Column(msgspec.Struct, frozen=True):
    """A column that can be written.

    `type` is the name of its type, or of what its domain is made of, and `enum` for any enum. `has_default` says that
    the database fills it where nothing is given; `numbered`, that only the database does by itself.
    """

    name: str
    type: str
    is_array: bool = False
    has_default: bool = False
    numbered: bool = False

    @property
    def is_number(self) -> bool:
        """Can values be added up?"""
        return self.type in _NUMBERS and not self.is_array


class Table(msgspec.Struct, frozen=True):
    """A table as the catalogue knows it; another `version` is another shape.

    `deferrable` says that a constraint may wait for the commit, `unique` that rows can be in conflict, `copyable` that
    COPY can write it.
    """

    oid: int
    name: str
    version: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...]
    lockable: bool
    deferrable: bool
    unique: bool
    copyable: bool


@cache
def statement(name: str) -> str:
    """A statement of the folder `sql/postgres`."""
    return files("penstock.sinks.postgres").joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")


def quoted(identifier: str) -> str:
    """An identifier as SQL text; raises `SinkError` for one that PostgreSQL can't hold."""
    try:
        fits = 0 < len(identifier.encode()) <= _LONGEST_NAME and "\0" not in identifier
    except UnicodeEncodeError:
        fits = False
    if not fits:
        raise SinkError(f"{identifier!r} can't be the name of a table or column: use one of 1 to {_LONGEST_NAME} bytes")
    return '"' + identifier.replace('"', '""') + '"'


def table_of(connection: Connection, name: str) -> Table | None:
    """Read a table from the catalogue; None when there is none of that name."""
    schema, _, rest = name.partition(".")
    names = {"name": name, "schema": schema, "table": rest}
    found = connection.execute(statement("table"), names).fetchone()
    if found is None:
        return None
    oid, schema, table, lockable, deferrable, unique, copyable = found
    version = connection.execute(statement("version").format(oid=oid).encode()).fetchone()
    rows = connection.execute(statement("columns"), {"oid": oid}).fetchall()
    columns = tuple(
        Column(column, "enum" if is_enum else type, is_array, has_default, numbered)
        for column, type, is_enum, is_array, has_default, numbered, _ in rows
    )
    key = sorted((place, column) for column, *_, place in rows if place is not None)
    return Table(
        oid, f"{quoted(schema)}.{quoted(table)}", version[0] if version else "", columns,
        tuple(column for _, column in key), lockable, deferrable, unique, copyable,
    )  # fmt: skip


def creation(table: str, sample: Iterable[dict[str, Any]], key: Sequence[str]) -> str:
    """The statement that creates a table for records such as these, with `key` as its primary key.

    Whole numbers become bigint (numeric, where one has more than 64 bits), numbers double precision, nested values
    jsonb, ISO date-times with a time zone timestamptz, and mixtures text.
    """
    columns = [f"{quoted(name)} {_merged(seen)}" for name, seen in kinds_of(table, sample, key, _kind).items()]
    if key:
        columns.append(f"primary key ({', '.join(map(quoted, key))})")
    schema, dot, rest = table.partition(".")
    name = f"{quoted(schema)}.{quoted(rest)}" if dot else quoted(table)
    return f"create table if not exists {name} ({', '.join(columns)})"


def _kind(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "boolean"
        case int():
            return "bigint" if -(2**63) <= value < 2**63 else "numeric"
        case float():
            return "double precision"
        case bytes():
            return "bytea"
        case dict() | list():
            return "jsonb"
        case datetime():
            return "timestamptz" if value.tzinfo else "timestamp"
        case str() if _ISO_TIME.match(value):
            return "timestamptz"
        case _:
            return "text"


def _merged(seen: set[str]) -> str:
    kinds = seen - {""}
    if len(kinds) == 1:
        return kinds.pop()
    if kinds == {"bigint", "numeric"}:
        return "numeric"
    if kinds and kinds <= {"bigint", "numeric", "double precision"}:
        return "double precision"
    return "jsonb" if "jsonb" in kinds else "text"
