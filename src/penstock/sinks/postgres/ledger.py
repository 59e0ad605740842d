"""What a PostgreSQL sink notes of batches, in the transaction of their rows: how they ended."""

from __future__ import annotations

import msgspec
import psycopg

from penstock.sinks.base import Rejected, Written
from penstock.stores.postgres import Connection

_RECORD = """
insert into penstock_ledger (id, rows, rejected, at)
values (%(id)s, %(rows)s, %(rejected)s, coalesce(to_timestamp(%(at)s), now()))
"""
_RECORDED = "select rows, rejected from penstock_ledger where id = %(id)s"
_FORGET = "delete from penstock_ledger where id >= %(prefix)s and substr(id, 1, length(%(prefix)s)) = %(prefix)s"
_rejections = msgspec.msgpack.Decoder(list[Rejected])


def recorded(connection: Connection, id: bytes) -> Written | None:
    """How a batch ended that is in."""
    found = connection.execute(_RECORDED, {"id": id}).fetchone()
    return None if found is None else Written(found[0], _decoded(found[1]), repeated=True)


def record(connection: Connection, id: bytes, written: Written, now: float | None) -> bool:
    """Enter a batch; False when another transaction has just done so, and then this one is lost."""
    packed = msgspec.msgpack.encode(written.rejected) if written.rejected else None
    try:
        connection.execute(_RECORD, {"id": id, "rows": written.rows, "rejected": packed, "at": now})
    except psycopg.errors.UniqueViolation:
        return False
    return True


def forget(connection: Connection, prefix: bytes) -> None:
    """Take out the batches whose ids begin so."""
    connection.execute(_FORGET, {"prefix": prefix})


def _decoded(rejected: bytes | None) -> list[Rejected]:
    return _rejections.decode(rejected) if rejected else []
