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
from pymongo.errors import DuplicateKeyError, OperationFailure

from penstock.core.bisect import bisect
from penstock.errors import RowRejected, StoreUnavailable
from penstock.sinks.base import OnConflict, Rejected, Written
from penstock.sinks.mongodb_ledger import Entry, Ledger
from penstock.sinks.mongodb_rows import Row
from penstock.sinks.mongodb_writes import DUPLICATE, Destination
from penstock.stores import mongodb as store

T = TypeVar("T")

#: Seconds for which a transaction is tried again while others are in its way.
_PATIENCE = 15.0
_PAUSE = 0.005


class Overtaken(Exception):
    """Somebody else writes the same batch, and has got further."""


def in_transaction(client: store.Client, work: Callable[[ClientSession], T]) -> T:
    """Do some work in a transaction, and again when it met another's; whatever it raises rolls it back."""
    deadline = time.monotonic() + _PATIENCE
    pause = threading.Event()
    while True:
        try:
            with client.start_session() as session, session.start_transaction():
                return work(session)
        except OperationFailure as error:
            if not isinstance(store.translated(error, ""), StoreUnavailable) or time.monotonic() > deadline:
                raise
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
            entry = self._ledger.find(self._id)
            if entry.done:
                return entry.written
            try:
                return self._go_on(entry, rows, rejected)
            except Overtaken:
                continue

    def _go_on(self, entry: Entry, rows: Sequence[Row], rejected: Sequence[Rejected]) -> Written:
        left = [row for row in rows if row.index >= entry.upto]
        refused: list[Rejected] = list(entry.rejected) if entry.upto else list(rejected)
        written = entry.rows
        last = left[-1].index if left else -1

        def insert(part: Sequence[Row]) -> None:
            nonlocal entry, written
            end = part[-1].index + 1
            after = Entry(end, written + len(part), _sorted(refused), done=end > last)
            try:
                in_transaction(self._client, lambda session: self._step(session, entry, after, part))
            except RowRejected as error:
                if len(part) > 1:
                    raise
                if self._is_known(error):
                    written += 1
                else:
                    refused.append(Rejected(part[0].index, str(error)))
                raise
            entry, written = after, after.rows

        bisect(insert, left)
        if not entry.done:
            # The last rows were refused, or there were none.
            after = Entry(last + 1, written, _sorted(refused), done=True)
            in_transaction(self._client, lambda session: self._note(session, entry, after))
        return Written(written, list(_sorted(refused)))

    def _step(self, session: ClientSession, before: Entry, after: Entry, part: Sequence[Row]) -> None:
        self._note(session, before, after)
        put_all(self._destination, part, session)

    def _note(self, session: ClientSession, before: Entry, after: Entry) -> None:
        try:
            advanced = self._ledger.advance(self._id, before, after, self._now, session)
        except DuplicateKeyError:
            raise Overtaken from None
        if not advanced:
            raise Overtaken

    def _is_known(self, error: RowRejected) -> bool:
        return self._destination.how is OnConflict.IGNORE and isinstance(error, KnownRow)


class KnownRow(RowRejected):
    """A row is there already, by the `_id` or another unique index."""


def put_all(destination: Destination, part: Sequence[Row], session: ClientSession) -> None:
    """Write rows, all or none; raises `RowRejected`, after which the transaction is lost."""
    alone = len(part) == 1 and destination.how is OnConflict.UPDATE
    refused = destination.put(part, session, ordered=True, upsert=alone)
    if refused:
        kind = KnownRow if refused[0].code == DUPLICATE else RowRejected
        raise kind(refused[0].reason, refused[0].place)


def write_at_once(
    client: store.Client,
    destination: Destination,
    rows: Sequence[Row],
    rejected: Sequence[Rejected],
    settle: Callable[[ClientSession, Written], None],
) -> Written:
    """Write a batch in one transaction, with what `settle` does in it.

    Which rows are bad is found out first, where any is, in transactions that are rolled back.
    """
    good, refused = list(rows), list(rejected)

    def attempt(session: ClientSession) -> Written:
        put_all(destination, good, session)
        written = Written(len(rows) - len(refused) + len(rejected), list(_sorted(refused)))
        settle(session, written)
        return written

    def probe(part: Sequence[Row]) -> None:
        def work(session: ClientSession) -> None:
            put_all(destination, part, session)
            raise _Probed

        try:
            in_transaction(client, work)
        except _Probed:
            return
        except KnownRow:
            if destination.how is OnConflict.IGNORE and len(part) == 1:
                known.add(part[0].index)
            raise

    known: set[int] = set()
    while True:
        try:
            return in_transaction(client, attempt)
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


class _Probed(Exception):
    """It went in, and is taken out again."""


def _sorted(rejected: Sequence[Rejected]) -> tuple[Rejected, ...]:
    return tuple(sorted(rejected, key=lambda each: each.index))
