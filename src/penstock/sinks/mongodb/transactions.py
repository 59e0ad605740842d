"""Writing by transactions: the rows and the ledger's entry go in together.

An error ends a transaction of MongoDB's, and there are no savepoints. So a batch with bad rows goes in by parts, each in
a transaction of its own with the entry of how far the batch has got.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from pymongo.client_session import ClientSession
from pymongo.errors import OperationFailure, PyMongoError

from penstock.core.bisect import bisect
from penstock.errors import RowRejected, StoreUnavailable
from penstock.sinks.base import OnConflict, Rejected, Written
from penstock.sinks.job_rows import settle
from penstock.sinks.mongodb.jobs import JobLedger, Met
from penstock.sinks.mongodb.ledger import Entry, Ledger
from penstock.sinks.mongodb.rows import Row
from penstock.sinks.mongodb.writes import DUPLICATE, Destination
from penstock.stores import mongodb as store

T = TypeVar("T")

#: Seconds for which a transaction is tried again while others are in its way.
_PATIENCE = 15.0
_PAUSE = 0.005
#: Seconds after which it is looked who is in its way: a transaction whose program was killed stays open for a minute.
_LOOK = 1.0


def in_transaction(session: ClientSession, work: Callable[[ClientSession], T]) -> T:
    """Do some work in a transaction, and again when it met another's; whatever it raises rolls it back."""
    began = looked = time.monotonic()
    idle: dict[bytes, int] = {}
    pause = threading.Event()
    while True:
        try:
            with session.start_transaction():
                return work(session)
        except (OperationFailure, StoreUnavailable) as error:
            # A broker that takes part in the transaction tells of the same in its own way.
            cause = error if isinstance(error, OperationFailure) else error.__cause__
            met = isinstance(cause, OperationFailure) and isinstance(store.translated(cause, ""), StoreUnavailable)
            now = time.monotonic()
            if not met or now > began + _PATIENCE:
                raise
            if now > looked + _LOOK:
                looked, idle = now, store.end_idle(session.client, idle)
            pause.wait(_PAUSE)


class Parts:
    """Writes one batch, part by part."""

    def __init__(
        self, client: store.Client, destination: Destination, ledger: Ledger, ledger_id: bytes, now: float | None
    ) -> None:
        self._client = client
        self._destination = destination
        self._ledger = ledger
        self._id = ledger_id
        self._now = now

    def write(self, rows: Sequence[Row], rejected: Sequence[Rejected]) -> Written:
        """Write the batch as `Sink.write` does; `rejected` are the records that were no documents."""
        while True:
            with self._client.start_session() as session:
                entry = self._ledger.take(self._id, session)
                if entry.done:
                    return entry.written
                try:
                    return self._go_on(session, entry, rows, rejected)
                except _Overtaken:
                    pass
                except PyMongoError:
                    # Whoever takes a batch ends the session that had it, and what that was doing.
                    now = self._ledger.find(self._id)
                    if now.session == entry.session and not now.done:
                        raise
                mine = entry.session
            self._wait_for_the_other(mine)

    def _wait_for_the_other(self, mine: str) -> None:
        """Whoever has taken the batch is given some time to end it, before it is taken back."""
        deadline = time.monotonic() + _PATIENCE
        pause = threading.Event()
        while time.monotonic() < deadline:
            entry = self._ledger.find(self._id)
            if entry.done or entry.session in ("", mine):
                return
            pause.wait(_PAUSE)

    def _go_on(
        self, session: ClientSession, entry: Entry, rows: Sequence[Row], rejected: Sequence[Rejected]
    ) -> Written:
        left = [row for row in rows if row.index >= entry.upto]
        refused: list[Rejected] = list(entry.rejected) if entry.upto else list(rejected)
        written = entry.rows
        last = left[-1].index if left else -1
        bad: dict[int, RowRejected] = {}

        def step(after: Entry, part: Sequence[Row]) -> None:
            put_all(self._destination, part, session)
            if not self._ledger.advance(self._id, entry, after, self._now, session):
                raise _Overtaken

        def insert(part: Sequence[Row]) -> None:
            nonlocal entry, written
            end = part[-1].index + 1
            after = Entry(end, written + len(part), _sorted(refused), done=end > last)
            try:
                if len(part) == 1 and end in bad:
                    raise bad[end]
                in_transaction(session, lambda _: step(after, part))
            except RowRejected as error:
                if len(part) > 1:
                    # Of rows that were added up, any may be to blame.
                    if self._destination.how is not OnConflict.ADD:
                        bad[part[error.index or 0].index + 1] = error
                elif self._destination.how is OnConflict.IGNORE and isinstance(error, KnownRow):
                    written += 1
                else:
                    refused.append(Rejected(part[0].index, str(error)))
                raise
            entry, written = after, after.rows

        bisect(insert, left)
        if not entry.done:
            # The last rows were refused, or there were none.
            in_transaction(session, lambda _: step(Entry(last + 1, written, _sorted(refused), done=True), ()))
        return Written(written, list(_sorted(refused)))


class _Overtaken(Exception):
    """Somebody else writes the same batch now."""


class KnownRow(RowRejected):
    """A row is there already, by the `_id` or another unique index."""


def put_all(destination: Destination, part: Sequence[Row], session: ClientSession) -> None:
    """Write rows, all or none; raises `RowRejected`, after which the transaction is lost."""
    alone = len(part) == 1 and destination.how.changes
    refused = destination.put(part, session, ordered=True, upsert=alone)
    if refused:
        kind = KnownRow if refused[0].code == DUPLICATE else RowRejected
        raise kind(refused[0].reason, refused[0].place)


def write_at_once(
    session: ClientSession,
    destination: Destination,
    rows: Sequence[Row],
    rejected: Sequence[Rejected],
    *,
    begin: Callable[[ClientSession, Written], None] | None = None,
    end: Callable[[ClientSession, Written], None] | None = None,
) -> Written:
    """Write a batch in one transaction, with what `begin` does in it before the rows go in, and `end` after that.

    Which rows are bad is found out first, where any is, in transactions that are rolled back.
    """
    good, refused = list(rows), list(rejected)

    def attempt(session: ClientSession) -> Written:
        written = Written(len(rows) - len(refused) + len(rejected), list(_sorted(refused)))
        if begin is not None:
            begin(session, written)
        put_all(destination, good, session)
        if end is not None:
            end(session, written)
        return written

    def probe(part: Sequence[Row]) -> None:
        def work(session: ClientSession) -> None:
            put_all(destination, part, session)
            raise _Probed

        try:
            in_transaction(session, work)
        except _Probed:
            return
        except KnownRow:
            if destination.how is OnConflict.IGNORE and len(part) == 1:
                known.add(part[0].index)
            raise

    known: set[int] = set()
    while True:
        try:
            return in_transaction(session, attempt)
        except RowRejected as error:
            # Rows that are in each other's way only show together: such a one is the one that the error names.
            found = bisect(probe, good)
            if not found:
                found = [(error.index or 0, str(error))]
                if destination.how is OnConflict.IGNORE and isinstance(error, KnownRow):
                    known.add(good[error.index or 0].index)
            bad = {index for index, _ in found}
            refused += [Rejected(good[index].index, why) for index, why in found if good[index].index not in known]
            good = [row for index, row in enumerate(good) if index not in bad]


def write_jobs(
    session: ClientSession,
    destination: Destination,
    ledger: JobLedger,
    ids: Sequence[bytes],
    rows: Sequence[Row],
    rejected: Sequence[Rejected],
    ended: Sequence[bytes],
    now: float | None,
) -> Written:
    """Write rows as `Sink.write_jobs` does, in one transaction; `rejected` are the records that were no documents."""
    known: dict[bytes, Sequence[Rejected]] = {}

    def begin(session: ClientSession, written: Written) -> None:
        # Before the rows, so that those which are in are not met as duplicates of themselves.
        settled = settle(ids, known, written.rejected)
        if settled.void and ledger.known(settled.void, session):
            # Refused, perhaps, because another has put them in since.
            raise Met
        ledger.enter([id for id in ids if id not in known] if known else ids, settled, now, session)

    while True:
        left = [row for row in rows if ids[row.index] not in known]
        bad = [each for each in rejected if ids[each.index] not in known]
        try:
            written = write_at_once(session, destination, left, bad, begin=begin)
        except Met:
            known.update(ledger.known(ids))
        else:
            ledger.forget(ended)
            return settle(ids, known, written.rejected).written


class _Probed(Exception):
    """It went in, and is taken out again."""


def _sorted(rejected: Sequence[Rejected]) -> tuple[Rejected, ...]:
    return tuple(sorted(rejected, key=lambda each: each.index))
