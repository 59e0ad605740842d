"""What a SQLite sink notes of single jobs, in the transaction of their rows: which of them are in."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files

import msgspec

from penstock.sinks.base import Rejected
from penstock.sinks.job_rows import KEPT, Settled, joined, oldest

_rejections = msgspec.msgpack.Decoder(list[Rejected])


def create(connection: sqlite3.Connection) -> None:
    """Make the ledger, if there is none."""
    connection.execute(_statement("ledger_jobs"))


def enter(connection: sqlite3.Connection, ids: Sequence[bytes], now: float) -> dict[bytes, Sequence[Rejected]]:
    """Enter jobs; returns those that were in, each with what was refused to it."""
    single = list(dict.fromkeys(ids))
    known: dict[bytes, Sequence[Rejected]] = {}
    try:
        connection.execute(_statement("enter"), {"ids": joined(single), "at": now})
    except sqlite3.IntegrityError:
        # That took back what the statement had done, and the transaction goes on.
        found = connection.execute(_statement("known"), {"ids": joined(single)})
        known = {id: _rejections.decode(rejected) if rejected else () for id, rejected in found}
        left = [id for id in single if id not in known]
        connection.execute(_statement("enter"), {"ids": joined(left), "at": now})
    return known


def amend(connection: sqlite3.Connection, settled: Settled) -> None:
    """Note what was refused to jobs that were entered."""
    if settled.void:
        forget(connection, settled.void)
    for id, rejected in settled.partial.items():
        connection.execute(_statement("amend"), {"id": id, "rejected": msgspec.msgpack.encode(rejected)})


def forget(connection: sqlite3.Connection, ids: Iterable[bytes]) -> None:
    """Take out jobs."""
    connection.execute(_statement("forget_jobs"), {"ids": joined(list(ids))})


def prune(connection: sqlite3.Connection, now: float) -> None:
    """Take out jobs that will not come back."""
    connection.execute(_statement("prune"), {"oldest": oldest(now), "before": now - KEPT})


@cache
def _statement(name: str) -> str:
    return files("penstock.sinks.sqlite").joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")
