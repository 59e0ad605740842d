"""What a SQLite sink notes, in the transaction of the rows: the batches and the jobs that are in."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files

import msgspec

from penstock.sinks.base import Rejected, Written
from penstock.sinks.job_rows import KEPT, Settled, joined, oldest

_CREATE = """
create table if not exists penstock_ledger
(id blob primary key, rows integer not null, rejected blob, at real not null)
"""
_RECORD = "insert into penstock_ledger (id, rows, rejected, at) values (?, ?, ?, ?)"
_RECORDED = "select rows, rejected from penstock_ledger where id = ?"
_FORGET = "delete from penstock_ledger where id >= ?1 and substr(id, 1, length(?1)) = ?1"
_AMEND = "update penstock_ledger set rejected = ? where id = ?"
_rejections = msgspec.msgpack.Decoder(list[Rejected])


def create(connection: sqlite3.Connection) -> None:
    """Make the ledger, if there is none."""
    connection.execute(_CREATE)


def recorded(connection: sqlite3.Connection, id: bytes) -> Written | None:
    """How a batch ended that is in."""
    found = connection.execute(_RECORDED, (id,)).fetchone()
    return None if found is None else Written(found[0], _decoded(found[1]), repeated=True)


def record(connection: sqlite3.Connection, id: bytes, written: Written, now: float) -> None:
    """Enter a batch."""
    packed = msgspec.msgpack.encode(written.rejected) if written.rejected else None
    connection.execute(_RECORD, (id, written.rows, packed, now))


def forget(connection: sqlite3.Connection, prefix: bytes) -> None:
    """Take out the batches whose ids begin so."""
    connection.execute(_FORGET, (prefix,))


def known(connection: sqlite3.Connection, ids: Sequence[bytes]) -> Mapping[bytes, Sequence[Rejected]]:
    """Those of the jobs that are in, each with what was refused to it."""
    return {id: _decoded(rejected) for id, rejected in connection.execute(_statement("known"), {"ids": joined(ids)})}


def enter(connection: sqlite3.Connection, ids: Sequence[bytes], settled: Settled, now: float) -> None:
    """Enter jobs, none of which is in, with what was refused to them."""
    void = set(settled.void)
    entered = [id for id in ids if id not in void] if void else ids
    connection.execute(_statement("enter"), {"ids": joined(entered), "at": now})
    for id, rejected in settled.partial.items():
        connection.execute(_AMEND, (msgspec.msgpack.encode(rejected), id))


def forget_jobs(connection: sqlite3.Connection, ids: Sequence[bytes]) -> None:
    """Take out jobs."""
    connection.execute(_statement("forget_jobs"), {"ids": joined(ids)})


def prune(connection: sqlite3.Connection, now: float) -> None:
    """Take out jobs that will not come back."""
    connection.execute(_statement("prune"), {"oldest": oldest(now), "before": now - KEPT})


@cache
def _statement(name: str) -> str:
    return files("penstock.sinks").joinpath("sql", "sqlite", f"{name}.sql").read_text(encoding="utf-8")


def _decoded(rejected: bytes | None) -> list[Rejected]:
    return _rejections.decode(rejected) if rejected else []
