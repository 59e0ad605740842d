"""The columns of a SQLite table: as they are, and as inferred from records."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from penstock.errors import SinkError
from penstock.sinks.records import kinds_of


class Column(msgspec.Struct, frozen=True):
    """A column that can be written: its name, its declared type, and whether the table has a default for it."""

    name: str
    declared: str
    has_default: bool = False

    @property
    def affinity(self) -> str:
        """INTEGER, TEXT, BLOB, REAL or NUMERIC, by the rules of sqlite.org/datatype3.html section 3.1."""
        declared = self.declared.upper()
        if "INT" in declared:
            return "INTEGER"
        if any(word in declared for word in ("CHAR", "CLOB", "TEXT")):
            return "TEXT"
        if "BLOB" in declared or not declared or declared == "ANY":
            return "BLOB"
        if any(word in declared for word in ("REAL", "FLOA", "DOUB")):
            return "REAL"
        return "NUMERIC"

    @property
    def is_number(self) -> bool:
        """Are its values to be added up? Truth values and times are kept as numbers too, and are not."""
        affinity = self.affinity
        numeric = affinity == "NUMERIC" and any(word in self.declared.upper() for word in ("NUM", "DEC"))
        return numeric or affinity in {"INTEGER", "REAL"}


def quoted(identifier: str) -> str:
    """An identifier as SQL text; raises `SinkError` for one that SQL can't hold."""
    if not identifier or "\x00" in identifier or not _is_text(identifier):
        raise SinkError(f"{identifier!r} can't be the name of a table or column: use another")
    return '"' + identifier.replace('"', '""') + '"'


def _is_text(identifier: str) -> bool:
    try:
        identifier.encode()
    except UnicodeEncodeError:
        return False
    return True


def columns_of(connection: sqlite3.Connection, table: str) -> list[Column]:
    """The columns of a table in their order, without generated ones; none when there is no such table."""
    rows = connection.execute("select name, type, dflt_value from pragma_table_info(?)", (table,))
    return [Column(name, declared, default is not None) for name, declared, default in rows]


def primary_key(connection: sqlite3.Connection, table: str) -> tuple[str, ...]:
    """The columns of a table's primary key, in its order."""
    rows = connection.execute("select name from pragma_table_info(?) where pk > 0 order by pk", (table,))
    return tuple(name for (name,) in rows)


def creation(table: str, sample: Iterable[dict[str, Any]], key: Sequence[str] = ()) -> str:
    """The statement that creates a table for records such as these, with `key` as its primary key.

    Whole numbers and booleans become INTEGER, numbers REAL, bytes BLOB, and everything else, mixtures and nested
    values too, TEXT.
    """
    columns = ", ".join(f"{quoted(name)} {_merged(seen)}" for name, seen in kinds_of(table, sample, key, _kind).items())
    if key:
        columns += f", primary key ({', '.join(map(quoted, key))})"
    strict = " strict" if sqlite3.sqlite_version_info >= (3, 37) else ""
    return f"create table if not exists {quoted(table)} ({columns}){strict}"


def _kind(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, int):
        return "INTEGER" if -(2**63) <= value < 2**63 else "TEXT"
    if isinstance(value, float):
        return "REAL"
    return "BLOB" if isinstance(value, bytes) else "TEXT"


def _merged(seen: set[str]) -> str:
    kinds = seen - {""}
    if len(kinds) == 1:
        return kinds.pop()
    return "REAL" if kinds == {"INTEGER", "REAL"} else "TEXT"
