"""What a claim took from a SQLite queue, as leases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from penstock.core.job import Lease
from penstock.core.limiter import gate_of, queue_of

#: A stored queue or, where the rows tell it themselves in their last column, None; the number of the claim; the rows of `claim_select`.
Taken = tuple[str | None, int, list[tuple[Any, ...]]]


def leases(taken: Sequence[Taken]) -> list[Lease]:
    """What was claimed, for its holder. Made after the commit, so that others can write meanwhile."""
    made: list[Lease] = []
    for name, claim, rows in taken:
        if name is None:
            places = {stored: (queue_of(stored), gate_of(stored)) for stored in {row[-1] for row in rows}}
            for row in rows:
                queue, gate = places[row[-1]]
                made.append(_lease(row[:15], queue, claim, gate))
        else:
            queue, gate = queue_of(name), gate_of(name)
            made += [_lease(row, queue, claim, gate) for row in rows]
    return made


def _lease(row: tuple[Any, ...], queue: str, claim: int, gate: str | None) -> Lease:
    seq, id, task, payload, priority, attempt, crashes, options, batch, items, packed, item, at_most_once, _, _ = row
    return Lease(
        id, seq, claim, task, payload, queue, priority, attempt, crashes, options, batch, items, bool(packed), item,
        bool(at_most_once), gate,
    )  # fmt: skip
