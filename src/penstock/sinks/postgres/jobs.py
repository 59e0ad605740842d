"""What a PostgreSQL sink notes of single jobs, in the transaction of their rows: which of them are in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
import psycopg

from penstock.sinks.base import Rejected
from penstock.sinks.job_rows import KEPT, Settled, oldest
from penstock.sinks.postgres.columns import statement
from penstock.stores.postgres import Connection

_HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"
#: What stands before an id in the binary form of a row: how many fields there are, and its length; and before a time.
_ALONE = b"\0\1\0\0\0\x10"
_ID = b"\0\2\0\0\0\x10"
_AT = b"\0\0\0\x08"
_YEAR_2000 = 946_684_800
_rejections = msgspec.msgpack.Decoder(list[Rejected])


class Met(Exception):
    """One of the jobs is in the ledger already; the transaction is lost by that."""


def enter(connection: Connection, ids: Iterable[bytes], now: float | None) -> None:
    """Enter jobs, as of the server's clock where no time is given. Raises `Met`.

    One that another transaction enters is waited for.
    """
    # All go by the order of the ids, so that none waits for one that waits for it.
    ordered = sorted(set(ids))
    if not ordered:
        return
    if now is None:
        columns, rows = "id", b"".join([_HEAD, _ALONE, _ALONE.join(ordered), _END])
    else:
        at = _AT + int((now - _YEAR_2000) * 1e6).to_bytes(8, "big", signed=True)
        columns, rows = "id, at", b"".join([_HEAD, _ID, (at + _ID).join(ordered), at, _END])
    try:
        with connection.cursor() as cursor, cursor.copy(statement("enter").format(columns=columns).encode()) as copy:
            copy.write(rows)
    except psycopg.errors.UniqueViolation:
        raise Met from None


def known(connection: Connection, ids: Iterable[bytes]) -> dict[bytes, Sequence[Rejected]]:
    """Those of the jobs that are in, each with what was refused to it."""
    found = connection.execute(statement("known").encode(), {"ids": _array(ids)})
    return {id: _rejections.decode(rejected) if rejected else () for id, rejected in found}


def amend(connection: Connection, settled: Settled) -> None:
    """Note what was refused to jobs that were entered."""
    if not settled.void and not settled.partial:
        return
    rejected = [msgspec.msgpack.encode(found) for found in settled.partial.values()]
    given = {"void": _array(settled.void), "ids": _array(settled.partial), "rejected": rejected}
    connection.execute(statement("amend").encode(), given)


def forgetting(ids: Sequence[bytes]) -> str:
    """The statement that takes out jobs."""
    return statement("forget_jobs").format(ids=_array(ids))


def prune(connection: Connection, now: float) -> None:
    """Take out jobs that will not come back."""
    connection.execute(statement("prune").encode(), {"oldest": oldest(now).hex(), "before": now - KEPT})


def _array(ids: Iterable[bytes]) -> str:
    """An array of ids as text: a value each would take psycopg many times as long."""
    return "{" + b"".join(ids).hex(",", 16) + "}"
