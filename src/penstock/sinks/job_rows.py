"""Rows of single jobs: what the ledger says of each job, and what it is to say of it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from penstock.sinks.base import Rejected, Written

#: Seconds after which a job in the ledger is taken for one that will not come back.
KEPT = 30 * 86400.0
_ID = 16


class Settled(msgspec.Struct, frozen=True):
    """What became of the rows of some jobs.

    Parameters:
        written: for the caller.
        void: jobs of which no row went in: nothing is to stay of them in the ledger.
        partial: of jobs of which some rows did, those that did not, each by its place among the rows of the job.
    """

    written: Written
    void: Sequence[bytes] = ()
    partial: Mapping[bytes, list[Rejected]] = {}


def joined(ids: Sequence[bytes]) -> bytes:
    """Ids end to end, which is how they are handed to a statement: a value each took many times as long."""
    found = b"".join(ids)
    if len(found) != _ID * len(ids):
        raise ValueError(f"the id of a job has {_ID} bytes")
    return found


def check_count(ids: Sequence[bytes], rows: int) -> None:
    """Raises `ValueError` where there is not one id for each row."""
    if len(ids) != rows:
        raise ValueError(f"{len(ids)} ids for {rows} rows: give the id of its job for each row")


def places_of(ids: Sequence[bytes]) -> list[int]:
    """The place of each row among those of its job."""
    seen: dict[bytes, int] = {}
    places: list[int] = []
    for id in ids:
        place = seen.get(id, 0)
        places.append(place)
        seen[id] = place + 1
    return places


def left_out(ended: Sequence[bytes], ids: Sequence[bytes]) -> Sequence[bytes]:
    """The jobs that have ended, but those of which rows are being written: those can't have."""
    if not ended:
        return ()
    writing = set(ids)
    return [id for id in ended if id not in writing]


def oldest(now: float) -> bytes:
    """What sorts before every id that a job has got within `KEPT` seconds: the ids begin with their time."""
    return max(0, int((now - KEPT) * 1000)).to_bytes(6, "big") + bytes(_ID - 6)


def settle(ids: Sequence[bytes], known: Mapping[bytes, Sequence[Rejected]], refused: Iterable[Rejected]) -> Settled:
    """What became of the rows of some jobs.

    Parameters:
        ids: of the job of each row.
        known: the jobs that were in, with the rows that were refused to them then, by place among the rows of the job.
        refused: rows by their index; those of jobs that are known do not count.
    """
    refused = [each for each in refused if ids[each.index] not in known]
    if not known and not refused:
        return Settled(Written(len(ids), []))
    places: dict[bytes, list[int]] = {}
    for index, id in enumerate(ids):
        places.setdefault(id, []).append(index)
    bad: dict[bytes, list[Rejected]] = {}
    for each in refused:
        of_job = places[ids[each.index]]
        place = bisect_left(of_job, each.index)
        bad.setdefault(ids[each.index], []).append(Rejected(place, each.reason))
    again = [
        Rejected(places[id][each.index], each.reason)
        for id, before in known.items()
        for each in before
        if each.index < len(places.get(id, ()))
    ]
    in_already = sum(len(places.get(id, ())) for id in known) - len(again)
    rejected = sorted([*again, *refused], key=lambda each: each.index)
    return Settled(
        Written(len(ids) - in_already - len(rejected), rejected, known=in_already),
        [id for id, found in bad.items() if len(found) == len(places[id])],
        {id: found for id, found in bad.items() if len(found) < len(places[id])},
    )
