"""What a claim took from a SQLite queue, as leases."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any, NamedTuple

from penstock.core.job import Lease
from penstock.core.limiter import gate_of, queue_of
from penstock.stores.statements import Statements


class Taken(NamedTuple):
    """The number of a claim, and the seqs of the jobs that it took, in their order."""

    claim: int
    seqs: list[int]


def read(connection: sqlite3.Connection, sql: Statements, taken: Taken) -> list[Lease]:
    """The leases of a claim that is committed, but for those that are another's by now: this process may have stood still since."""
    claim, seqs = taken
    if not seqs:
        return []
    found = leases(connection.execute(sql["claimed"], (min(seqs), max(seqs), claim)).fetchall())
    if seqs != sorted(seqs):
        places = {seq: place for place, seq in enumerate(seqs)}
        found.sort(key=lambda lease: places[lease.key])
    return found


def leases(rows: Iterable[tuple[Any, ...]]) -> list[Lease]:
    """Of rows of `claimed` or `leases_of`."""
    places: dict[str, tuple[str, str | None]] = {}
    made: list[Lease] = []
    for (
        stored,
        claim,
        seq,
        id,
        task,
        payload,
        priority,
        attempt,
        crashes,
        options,
        batch,
        items,
        packed,
        item,
        at_most_once,
    ) in rows:
        place = places.get(stored)
        if place is None:
            place = places[stored] = queue_of(stored), gate_of(stored)
        queue, gate = place
        made.append(
            Lease(
                id, seq, claim, task, payload, queue, priority, attempt, crashes, options, batch, items, bool(packed), item,
                bool(at_most_once), gate,
            )
        )  # fmt: skip
    return made
