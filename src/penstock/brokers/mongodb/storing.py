"""Storing jobs in a MongoDB queue: all of a call or none, and each id and unique key once.

Jobs sent in one call go into a transaction on a replica set, which holds nothing that others wait for. Jobs of a batch are
an intent, as their batch's counters are shared: MongoDB holds what a transaction has written for a minute or more when its
process is killed.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from pymongo.client_session import ClientSession
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure
from pymongo.read_concern import ReadConcern

from penstock.brokers.mongodb.documents import RING, document, rings_for_ready, to_the_back
from penstock.brokers.mongodb.ends import Ends
from penstock.brokers.mongodb.gates import Gates, lines_of
from penstock.brokers.mongodb.intents import Intents
from penstock.brokers.mongodb.keys import Keys
from penstock.brokers.mongodb.layout import Layout
from penstock.brokers.mongodb.order import Order
from penstock.brokers.mongodb.plan import Plan, duplicates, write
from penstock.core.job import NewJob
from penstock.errors import StoreUnavailable
from penstock.stores.mongodb import Document, Patience
from penstock.stores.mongodb_clock import ServerClock

T = TypeVar("T")

#: Tries of a transaction that met a document which another one stored at the same time.
_TRIES = 10


class Storing:
    """What one connection stores.

    Parameters:
        replicated: can the server do transactions?
        outer: that of the broker's own client, where this one belongs to a transaction of the user's.
    """

    def __init__(self, layout: Layout, clock: ServerClock, *, replicated: bool, outer: Storing | None = None) -> None:
        self.layout = self._layout = layout
        self.gates: Gates = outer.gates if outer is not None else Gates(layout, clock)
        self.order = Order(layout)
        self.intents: Intents = Intents(layout, clock, self, None if outer is None else outer.intents.owed)
        self.ends = Ends(layout, clock)
        self.keys = Keys(layout, clock, self._took_place)
        self.replicated = replicated
        #: With transactions that hold a schedule.
        self.patience = Patience(layout.client)
        #: The start of the tokens of what is done for no worker.
        self.name = f"sender/{secrets.token_hex(8)}"

    def ring(self, session: ClientSession | None = None) -> None:
        """Wake the workers; inside a transaction, by its commit."""
        if self.replicated:
            self._layout.bell.insert_one({"at": datetime.now(UTC)}, session=session)
        else:
            self._layout.chime.insert_one({})

    def starting(self, lines: Sequence[str]) -> None:
        """See `News.starting`."""
        self.gates.expect(lines)

    def started(self, lines: Sequence[str]) -> None:
        """See `News.started`."""
        self.gates.open(lines)
        self.ring()

    def stopped(self) -> None:
        """See `News.stopped`."""
        self.ends.tell(())

    def transact(self, work: Callable[[ClientSession, bool], T]) -> T:
        """Do the work in a transaction, as often as it takes.

        Parameters:
            work: is not told to look for duplicates before it has met one: MongoDB gives up a transaction that does,
                and to look first costs time that the usual case need not pay.
        """
        for attempt in range(_TRIES):
            try:
                with self._layout.client.start_session() as session:
                    return session.with_transaction(
                        partial(_told, work, attempt > 0),
                        read_concern=ReadConcern("snapshot"),
                        write_concern=self._layout.jobs.write_concern,
                    )
            except BulkWriteError as error:
                if duplicates(error) is None:
                    raise
            except DuplicateKeyError:
                pass
        raise StoreUnavailable("others kept storing the same jobs or results at the same time: try again")

    def begin(self, work: Callable[[ClientSession], T]) -> tuple[ClientSession, T] | None:
        """Do the work in a transaction that is left open; None where something of it is another's just now, or is there already."""
        session = self._layout.client.start_session()
        try:
            session.start_transaction(ReadConcern("snapshot"), self._layout.jobs.write_concern)
            return session, work(session)
        except OperationFailure:
            session.end_session()
            return None
        except BaseException:
            session.end_session()
            raise

    def enqueue(self, jobs: Sequence[NewJob], now: float, session: ClientSession | None) -> list[bytes]:
        """Store jobs, and count them in their batches; returns the ids that stand for them."""
        if not jobs:
            return []
        if any(job.dedup is not None for job in jobs):
            return [self._enqueue_by_key(job, now, session) for job in jobs]
        first = self._layout.next_places(len(jobs))
        births = distinct(document(job, first + n, now) for n, job in enumerate(jobs))
        lines = lines_of(jobs)
        self.order.met(jobs)
        self.gates.expect(lines, within=session is not None)
        stored = {born["_id"] for born in self._store(births, session)}
        self.gates.open(lines)
        return self._standing_for(jobs, stored, session)

    def _enqueue_by_key(self, job: NewJob, now: float, session: ClientSession | None) -> bytes:
        """Store a job whose key counts in a way of its own; returns the id that stands for it."""
        settled = self.keys.settle(job, now, session)
        if isinstance(settled, bytes):
            return settled
        (stands,) = self.enqueue([settled], now, session)
        self.keys.settled(job, session)
        return stands

    def _took_place(self, job: NewJob, session: ClientSession | None) -> None:
        """A job was stored in the place of another."""
        lines = lines_of([job])
        self.order.met([job])
        self.gates.expect(lines, within=session is not None)
        self.gates.open(lines)
        self.ring(session)

    def _store(self, births: list[Document], session: ClientSession | None) -> Sequence[Document]:
        batched = any("batch" in born for born in births)
        if session is not None:
            return self._store_within(births, session, True)
        if batched:
            return self._store_by_intent(births)
        if self.replicated and len(births) > 1:
            return self.transact(lambda session, again: self._store_within(births, session, again))
        # One command: when its sender is killed, the server carries it out.
        births = self._ringing(births)
        stored = self._insert_apart(births)
        if not self.replicated or len(stored) < len(births):
            self.ring()
        return stored

    def _ringing(self, births: Sequence[Document]) -> list[Document]:
        """One of them wakes the workers by itself, by the change stream of a replica set: one for which more is to be done than to claim it."""
        telling = next((n for n, born in enumerate(births) if not rings_for_ready(born)), 0)
        ringing = list(births)
        ringing[telling] = {**ringing[telling], RING: True}
        return ringing

    def _store_within(self, births: Sequence[Document], session: ClientSession, again: bool) -> Sequence[Document]:
        births = self._ringing(births)
        stored = self.insert(births, session, again)
        plan = Plan()
        plan.grow(stored)
        write(self._layout, plan, session)
        if len(stored) < len(births):
            self.ring(session)
        return stored

    def store_within(self, jobs: Sequence[NewJob], now: float, session: ClientSession, again: bool) -> None:
        """Store jobs in a transaction of Penstock's own; those that are there already are left out."""
        first = self.layout.next_places(len(jobs))
        if births := distinct(document(job, first + n, now) for n, job in enumerate(jobs)):
            self._store_within(births, session, again)

    def _store_by_intent(self, births: list[Document]) -> Sequence[Document]:
        wanted = Plan(births=births, grows=True)
        stored = self.intents.carry_out(self.name, [], lambda *_: wanted).births
        self.ring()
        return stored

    def _insert_apart(self, births: Sequence[Document]) -> Sequence[Document]:
        """Store jobs without a transaction; returns those that were not there already."""
        stored: list[Document] = []
        for attempt in range(2):
            gone = self._insert_each(births)
            if not gone:
                return [*stored, *births]
            taken = [births[n] for n in gone]
            refused = set(gone)
            stored += [born for n, born in enumerate(births) if n not in refused]
            if attempt or not self.intents.clear_the_way(taken):
                return stored
            births = taken
        return stored

    def _insert_each(self, births: Sequence[Document]) -> list[int]:
        """Store jobs without a transaction; returns which of them were there already."""
        jobs = self.layout.jobs
        try:
            if len(births) == 1:
                # Takes a fifth less of our time than a bulk of one.
                jobs.insert_one(births[0])
            else:
                jobs.insert_many(births, ordered=False)
        except DuplicateKeyError:
            return [0]
        except BulkWriteError as error:
            refused = duplicates(error)
            if refused is None:
                raise
            return refused
        return []

    def insert(self, births: Sequence[Document], session: ClientSession, again: bool) -> Sequence[Document]:
        """Store jobs in a transaction; returns those that were not there already."""
        if again:
            ids = {"_id": {"$in": [born["_id"] for born in births]}}
            keys = {"unique": {"$in": [born["unique"] for born in births if "unique" in born]}}
            jobs = self._layout.jobs
            there = {found["_id"] for found in jobs.find(ids, {"_id": 1}, session=session)}
            taken = {found["unique"] for found in jobs.find(keys, {"unique": 1}, session=session, hint="unique")}
            births = [born for born in births if born["_id"] not in there and born.get("unique") not in taken]
        if births:
            self._layout.jobs.insert_many(births, session=session)
        return births

    def make_ready(self, due: Sequence[Document], now: float) -> None:
        """Move delayed jobs behind the others, in the order in which they are due, which they are given in."""
        first, last = due[0]["due"], due[-1]["due"]
        places = len(due) * 16
        each = (places - 1) / (last - first) if last > first else 0.0
        later = {"$toLong": {"$floor": {"$multiply": [{"$subtract": ["$due", first]}, each]}}}
        place = {"$add": [self._layout.next_places(places), later]}
        chosen = {"_id": {"$in": [one["_id"] for one in due]}, "due": {"$lte": now}}
        self._layout.jobs.update_many(chosen, to_the_back(place, now), hint="_id_")
        self.gates.open(one["queue"] for one in due)
        self.ring()

    def _standing_for(self, jobs: Sequence[NewJob], stored: set[bytes], session: ClientSession | None) -> list[bytes]:
        known = self._layout.jobs
        doubtful = [job for job in jobs if job.id not in stored and job.unique is not None]
        if not doubtful:
            return [job.id for job in jobs]
        ids = {"_id": {"$in": [job.id for job in doubtful]}}
        keys = {"unique": {"$in": [job.unique for job in doubtful]}}
        there = {found["_id"] for found in known.find(ids, {"_id": 1}, session=session)}
        holders = {one["unique"]: one["_id"] for one in known.find(keys, {"unique": 1}, session=session, hint="unique")}
        settled = stored | there
        return [job.id if job.id in settled or job.unique is None else holders.get(job.unique, job.id) for job in jobs]


def _told(work: Callable[[ClientSession, bool], T], again: bool, session: ClientSession) -> T:
    return work(session, again)


def distinct(births: Iterable[Document]) -> list[Document]:
    """Without those whose id, or unique key, one before them has."""
    ids: set[bytes] = set()
    keys: set[str] = set()
    kept: list[Document] = []
    for born in births:
        key = born.get("unique")
        if born["_id"] in ids or key in keys:
            continue
        ids.add(born["_id"])
        if key is not None:
            keys.add(key)
        kept.append(born)
    return kept
