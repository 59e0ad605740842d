"""What a SQLite sink notes of batches, in the transaction of their rows: how they ended."""

from __future__ import annotations

import sqlite3

import msgspec

from penstock.sinks.base import Rejected, Written

_CREATE = """
create table if not exists penstock_ledger
(id blob primary key, rows integer not null, rejected blob, at real not null)
"""
_RECORD = "insert into penstock_ledger (id, rows, rejected, at) values (?, ?, ?, ?)"
_RECORDED = "select rows, rejected from penstock_ledger where id = ?"
_FORGET = "delete from penstock_ledger where id >= ?1 and substr(id, 1, length(?1)) = ?1"
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


def _decoded(rejected: bytes | None) -> list[Rejected]:
    return _rejections.decode(rejected) if rejected else []
