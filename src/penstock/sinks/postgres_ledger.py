"""What a PostgreSQL sink notes, in the transaction of the rows: the batches and the jobs that are in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import psycopg

from penstock.sinks.base import Rejected, Written
from penstock.sinks.job_rows import KEPT, Settled, joined, left_out, oldest, taken_apart
from penstock.sinks.postgres_columns import statement
from penstock.stores.postgres import Connection

_RECORD = """
insert into penstock_ledger (id, rows, rejected, at)
values (%(id)s, %(rows)s, %(rejected)s, coalesce(to_timestamp(%(at)s), now()))
"""
_RECORDED = "select rows, rejected from penstock_ledger where id = %(id)s"
_FORGET = "delete from penstock_ledger where id >= %(prefix)s and substr(id, 1, length(%(prefix)s)) = %(prefix)s"
_rejections = msgspec.msgpack.Decoder(list[Rejected])


class Claim(msgspec.Struct, frozen=True):
    """Jobs that were entered: the version of the table then, and those that were in before, with what was refused."""

    version: str | None
    known: Mapping[bytes, Sequence[Rejected]]


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


def claim(connection: Connection, oid: int, ids: Sequence[bytes], ended: Sequence[bytes], now: float | None) -> Claim:
    """Enter jobs, and take out those that have ended; a job that another transaction enters is waited for.

    Parameters:
        oid: of the table whose version is told.
    """
    given = {"oid": oid, "ids": joined(ids), "ended": joined(left_out(ended, ids)), "at": now}
    found = connection.execute(statement("claim").format(version=statement("version")).encode(), given).fetchone()
    assert found is not None
    version, fresh = found
    if fresh is None:
        return Claim(version, {})
    known: dict[bytes, Sequence[Rejected]] = dict.fromkeys(set(ids).difference(taken_apart(fresh)), ())
    # One whose entry has gone since has an ending, and was in as well.
    for id, rejected in connection.execute(statement("known").encode(), {"ids": list(known)}):
        known[id] = _decoded(rejected)
    return Claim(version, known)


def amend(connection: Connection, settled: Settled) -> None:
    """Note what was refused to jobs that were entered."""
    if not settled.void and not settled.partial:
        return
    rejected = [msgspec.msgpack.encode(found) for found in settled.partial.values()]
    connection.execute(
        statement("amend").encode(), {"void": list(settled.void), "ids": list(settled.partial), "rejected": rejected}
    )


def forget_jobs(connection: Connection, ids: Sequence[bytes]) -> None:
    """Take out jobs."""
    connection.execute(statement("forget_jobs").encode(), {"ids": list(ids)})


def prune(connection: Connection, now: float) -> None:
    """Take out jobs that will not come back."""
    connection.execute(statement("prune").encode(), {"oldest": oldest(now), "before": now - KEPT})


def _decoded(rejected: bytes | None) -> list[Rejected]:
    return _rejections.decode(rejected) if rejected else []
