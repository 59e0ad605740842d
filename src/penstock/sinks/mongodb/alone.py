"""Writing on a server without transactions: what is written twice is written over itself.

Every document has an `_id` that a second try makes again. An entry in the ledger counts the tries, on the disk before any row goes
in; so a duplicate that a first and only try meets is not its own work. After a try that broke off, a document that is
there just as it was to be written is taken for its work.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from penstock.sinks.base import OnConflict, Rejected, Written
from penstock.sinks.job_rows import settle
from penstock.sinks.mongodb.jobs import JobLedger, Met
from penstock.sinks.mongodb.ledger import Ledger
from penstock.sinks.mongodb.rows import Row, mark_of
from penstock.sinks.mongodb.writes import DUPLICATE, Destination, Refusal


def write_alone(
    destination: Destination,
    ledger: Ledger,
    ledger_id: bytes,
    rows: Sequence[Row],
    rejected: Sequence[Rejected],
    now: float | None,
) -> Written:
    """Write a batch as `Sink.write` does; `rejected` are the records that were no documents."""
    entry = ledger.begin(ledger_id)
    if entry.done:
        return entry.written
    refused = destination.put(rows, ordered=False)
    if any(each.code == DUPLICATE for each in refused):
        # Another may have begun the same batch since: asked only now, so that none of its rows can be missed.
        tries = ledger.find(ledger_id).tries
        refused = _foreign(destination, rows, refused, repeated=tries > 1)
    found = [*rejected, *(Rejected(rows[each.place].index, each.reason) for each in refused)]
    found.sort(key=lambda each: each.index)
    written = Written(len(rows) - len(refused), found)
    if not ledger.end(ledger_id, written, now):
        entry = ledger.find(ledger_id)
        return entry.written if entry.done else written
    return written


def write_jobs_alone(
    destination: Destination,
    ledger: JobLedger,
    ids: Sequence[bytes],
    rows: Sequence[Row],
    rejected: Sequence[Rejected],
    ended: Sequence[bytes],
    now: float | None,
) -> Written:
    """Write rows as `Sink.write_jobs` does. A document that is there just as it was to be written counts as known."""
    known = ledger.known(ids)
    left = [row for row in rows if ids[row.index] not in known]
    met = destination.put(left, ordered=False)
    refused = _foreign(destination, left, met, repeated=True)
    found = [*rejected, *(Rejected(left[each.place].index, each.reason) for each in refused)]
    settled = settle(ids, known, found)
    there = 0 if destination.how is not OnConflict.ERROR else len(met) - len(refused)
    entered = set(ids).difference(known)
    while True:
        try:
            ledger.enter(list(entered), settled, now)
            break
        except Met:
            # Another writes some of them as well, and has entered those.
            entered -= set(ledger.known(ids))
    ledger.forget(ended)
    written = settled.written
    return msgspec.structs.replace(written, rows=written.rows - there, known=written.known + there)


def _foreign(
    destination: Destination, rows: Sequence[Row], refused: Sequence[Refusal], *, repeated: bool
) -> list[Refusal]:
    """The refusals that stand: all but duplicates that are this batch's own, or that may be there."""
    duplicates = [each for each in refused if each.code == DUPLICATE]
    if destination.how is OnConflict.IGNORE:
        return [each for each in refused if each.code != DUPLICATE]
    # Another unique index may refuse it as well, and then it is another's document that is in the way.
    own: set[int] = {each.place for each in duplicates if each.is_known and rows[each.place].made}
    if destination.how is OnConflict.UPDATE:
        # It came in between the look for what is there and the insert.
        again = [each.place for each in duplicates]
        left = destination.put([rows[place] for place in again], ordered=False, upsert=True)
        bad = {again[each.place]: each for each in left}
        return [
            Refusal(each.place, bad[each.place].code, bad[each.place].reason) if each.place in bad else each
            for each in refused
            if each.place in bad or each.code != DUPLICATE
        ]
    if repeated:
        own |= _as_written(destination, rows, [each.place for each in duplicates])
    return [each for each in refused if each.place not in own]


def _as_written(destination: Destination, rows: Sequence[Row], places: Sequence[int]) -> set[int]:
    """Of some rows, those that are there just so; of rows with one `_id`, only the first can be."""
    first: dict[Any, int] = {}
    for place, row in enumerate(rows):
        first.setdefault(mark_of(row.document["_id"]), place)
    there = {mark_of(each["_id"]): each for each in destination.of_ids([rows[place] for place in places])}
    found: set[int] = set()
    for place in places:
        document = rows[place].document
        mark = mark_of(document["_id"])
        if first[mark] == place and there.get(mark) == document:
            found.add(place)
    return found
