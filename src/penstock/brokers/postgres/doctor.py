"""What can be wrong with the PostgreSQL of a queue, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

from penstock.brokers.diagnosis import Check, Grade, Schema, judge_clock, judge_schema, judge_shipments
from penstock.stores.postgres import Connection

_OLDEST = 130000
_LONG = 300.0
#: Of the connections that the server takes; with more in use, the next worker may find none.
_CROWDED = 0.8
_FOLDER = files("penstock.brokers.postgres").joinpath("sql", "doctor")


def diagnose(connection: Connection, schema: str, found: Schema, now: float) -> Iterator[Check]:
    """Look at a server and at the tables of a schema.

    Parameters:
        found: what is installed.
        now: this machine's time, in epoch seconds.
    """
    number, version, standby, encoding, tls, local, clock = _row(connection, "server")
    yield _version(number, version)
    yield _role(standby)
    yield _encoding(encoding)
    yield _encryption(tls, local)
    yield _tables(found, connection)
    if found.installed is not None:
        yield _rights(connection, schema)
        yield _indexes(connection, schema)
    if found.installed == found.known:
        text = _FOLDER.joinpath("shipments.sql").read_text(encoding="utf-8").replace("penstock", schema)
        yield judge_shipments(connection.execute(text.encode()).fetchall()[0][0])
    yield from _settings(connection)
    yield _oldest(connection)
    yield judge_clock(clock - now)


def _rows(connection: Connection, name: str, **parameters: str) -> list[tuple[Any, ...]]:
    text = _FOLDER.joinpath(f"{name}.sql").read_text(encoding="utf-8")
    return connection.execute(text, parameters or None).fetchall()


def _row(connection: Connection, name: str) -> tuple[Any, ...]:
    return _rows(connection, name)[0]


def _version(number: int, version: str) -> Check:
    if number >= _OLDEST:
        return Check("PostgreSQL", version)
    return Check("PostgreSQL", version, Grade.FAIL, "Penstock needs 13 or newer: upgrade the server")


def _role(standby: bool) -> Check:
    if standby:
        return Check("role", "standby", Grade.FAIL, "a standby takes no writes: name the primary")
    return Check("role", "primary")


def _encoding(encoding: str) -> Check:
    if encoding == "UTF8":
        return Check("encoding", encoding)
    return Check("encoding", encoding, Grade.FAIL, "names may be any Unicode: create a database with encoding UTF8")


def _encryption(tls: bool, local: bool) -> Check:
    if tls or local:
        return Check("TLS", "on" if tls else "off, on this machine")
    return Check("TLS", "off", Grade.WARN, "jobs and password cross the network in the clear: ?sslmode=verify-full")


def _tables(found: Schema, connection: Connection) -> Check:
    if found.installed is None and not _row(connection, "may_create")[0]:
        return Check("tables", "none", Grade.FAIL, "this user may not create them: let the owner run penstock install")
    return judge_schema(found)


def _rights(connection: Connection, schema: str) -> Check:
    missing = _rows(connection, "rights", schema=schema)
    if not missing:
        return Check("rights", "read and write")
    table, right = missing[0]
    return Check(
        "rights", f"{len(missing)} missing, {right.lower()} on {table} first", Grade.FAIL,
        f"grant select, insert, update, delete on all tables in schema {schema} to this user",
    )  # fmt: skip


def _indexes(connection: Connection, schema: str) -> Check:
    broken = [name for (name,) in _rows(connection, "broken_indexes", schema=schema)]
    if not broken:
        return Check("indexes", "all valid")
    return Check("indexes", f"not valid: {', '.join(broken)}", Grade.FAIL, f"reindex index {schema}.{broken[0]}")


def _settings(connection: Connection) -> Iterator[Check]:
    fsync, pages, commit, autovacuum, most = _row(connection, "settings")
    if fsync == "off" or pages == "off":
        yield Check("durability", "fsync or full_page_writes is off", Grade.WARN, "a power cut may cost the database")
    elif commit == "off":
        yield Check("durability", "synchronous_commit is off", Grade.WARN, "a crash may cost the last commits")
    else:
        yield Check("durability", f"synchronous_commit is {commit}")
    if autovacuum == "off":
        yield Check("autovacuum", "off", Grade.FAIL, "a queue leaves dead rows all the time: switch autovacuum on")
    else:
        yield Check("autovacuum", "on")
    (used,) = _row(connection, "connections")
    crowded = used > most * _CROWDED
    advice = "each process of a worker takes one: raise max_connections, or use a pooler" if crowded else ""
    yield Check("connections", f"{used} of {most}", Grade.WARN if crowded else Grade.OK, advice)


def _oldest(connection: Connection) -> Check:
    old = [row for row in _rows(connection, "oldest") if row[2] is None or row[2] > _LONG]
    if not old:
        return Check("vacuum", "nothing holds it up")
    kind, whose, age = old[0]
    since = "" if age is None else f", open for {age / 60:,.0f} min"
    return Check("vacuum", f"held up by {kind} ({whose}{since})", Grade.WARN, "end it: meanwhile dead rows pile up")
