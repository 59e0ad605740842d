"""Whose fault an error of PostgreSQL's is: a row's, the table's, or the server's."""

from __future__ import annotations

import re

import psycopg

from penstock.errors import PenstockError, SinkError, StoreUnavailable
from penstock.stores import postgres as store

#: Classes of error codes for which no row is to blame; any other may come from a constraint, a type or a trigger.
_NOT_A_ROWS = frozenset("08 0A 25 26 28 34 3B 3D 3F 40 42 53 55 57 58 72 F0 HV XX".split())
#: Codes whose details say which key it was. The details of others repeat the row.
_KEYS = frozenset({"23505", "23503", "23P01"})
_LINE = re.compile(r"^COPY .*?, line (\d+)", re.MULTILINE)
#: What is raised for a value that psycopg has no form for.
UNENCODABLE = (ValueError, TypeError, OverflowError, RecursionError)


def is_rows_fault(error: Exception) -> bool:
    """Would the others go in without one of the rows?"""
    if not isinstance(error, psycopg.Error):
        return True
    code = error.sqlstate
    if code is None:
        return isinstance(error, psycopg.DataError)
    if code == "42501":
        return "row-level security" in (error.diag.message_primary or "")
    return code[:2] not in _NOT_A_ROWS


def reason(error: Exception) -> str:
    """Why a row was refused, in the database's words."""
    if not isinstance(error, psycopg.Error) or error.diag.message_primary is None:
        return str(error)
    details = error.diag.message_detail if error.sqlstate in _KEYS else None
    return f"{error.diag.message_primary}: {details}" if details else error.diag.message_primary


def line_of(error: Exception) -> int | None:
    """The index of the row that a COPY stopped at, where the server says so in English."""
    context = error.diag.context if isinstance(error, psycopg.Error) else None
    found = _LINE.search(context or "")
    return int(found[1]) - 1 if found else None


def failure(error: Exception, shown: str, table: str, *, is_lost: bool) -> PenstockError:
    """What an error becomes that is not looked into for the row to blame.

    Parameters:
        is_lost: the connection is.
    """
    if not isinstance(error, psycopg.Error) or (is_lost and is_rows_fault(error)):
        # A row was to blame, and the connection went before it could be told which.
        return StoreUnavailable(f"{shown}: the connection was lost: try again")
    code = error.sqlstate or ""
    if code == "42501":
        return SinkError(f"{shown}: {reason(error)}: grant this user what it needs to write into {table}")
    if code[:2] in ("0A", "22", "23", "3F", "42", "44", "P0"):
        return SinkError(f"table {table!r} in {shown} can't be written: {reason(error)}")
    found = store.translated(error, shown)
    # A connection that broke in the middle of a COPY is told of in more than one way.
    lost = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) and not error.sqlstate
    return StoreUnavailable(str(found)) if lost else found
