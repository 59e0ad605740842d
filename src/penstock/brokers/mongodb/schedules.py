"""The schedules of a MongoDB queue: a document each.

Changes that come with jobs are a transaction on a replica set, and an intent on a server that stands alone. Whoever dies in the middle of a transaction
holds the schedules until another worker, which found them held and nothing done for a second, ends it: see `Patience`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from pymongo import UpdateMany
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, OperationFailure

from penstock.brokers.mongodb.documents import LARGEST, document
from penstock.brokers.mongodb.gates import lines_of
from penstock.brokers.mongodb.layout import Layout
from penstock.brokers.mongodb.plan import RESCHEDULED, Guard, Plan, duplicates, parts, replaced
from penstock.brokers.mongodb.storing import Storing, distinct
from penstock.brokers.schedules import ABSENT, Begun, Change, Due, Row, ScheduleStore
from penstock.stores import mongodb as store
from penstock.stores.mongodb import Document
from penstock.stores.mongodb_clock import ServerClock

#: Seconds until one is looked at again that somebody is just changing.
_LOOK_AGAIN = 0.02
#: Changes for which a transaction is begun before they are due: of fewer, the last is soon made anyway.
_MANY = 100
#: What the driver calls a commit that has failed, or of which nobody knows.
_NOT_KNOWN_TO_HOLD = ("TransientTransactionError", "UnknownTransactionCommitResult")
#: Jobs that are stored together, or a few more: runs of one schedule are.
_JOBS = 1000


class MongoSchedules(ScheduleStore):
    """See `penstock.brokers.schedules.ScheduleStore`. Made by `MongoBroker.schedules`, whose client it uses."""

    def __init__(self, shown: str, layout: Layout, clock: ServerClock, storing: Storing) -> None:
        self._shown = shown
        self._layout = layout
        self._clock = clock
        self._storing = storing

    def read(self, names: Sequence[str] | None = None) -> list[Row]:
        """See `ScheduleStore.read`."""
        wanted = {} if names is None else {"_id": {"$in": list(names)}}
        with store.translating(self._shown):
            return sorted(map(_row, self._layout.schedules.find(wanted)), key=lambda row: row.name)

    def due(self, limit: int, *, now: float | None = None) -> Due:
        """See `ScheduleStore.due`. What another changes just now is not told of; what a dead one began is settled."""
        with store.translating(self._shown):
            moment = self._clock.now() if now is None else now
            found = self._due({"$gte": 0, "$lte": moment}, limit) if limit else []
            if abandoned := {one["mark"] for one in found if "mark" in one and self._may_settle(one["mark"])}:
                for token in abandoned:
                    self._storing.intents.settle(token)
                found = self._due({"$gte": 0, "$lte": moment}, limit)
            # Where there is no end of them, there is more to do at once.
            all_found = not limit or len(found) < limit
            waits = [float(one["next_at"]) - moment for one in self._due({"$gt": moment}, 1)] if all_found else [0.0]
        free = [_row(one) for one in found if "mark" not in one]
        if len(free) < len(found):
            waits.append(_LOOK_AGAIN)
        return Due(moment, free, min(waits, default=None))

    def _due(self, when: dict[str, float], limit: int) -> list[Document]:
        found = self._layout.schedules.find({"next_at": when}).hint("next").sort("next_at", 1).limit(limit)
        # In one answer.
        return found.batch_size(limit + 1).to_list()

    def _may_settle(self, token: str) -> bool:
        return self._storing.intents.may_settle(token)

    def change(self, changes: Sequence[Change], *, now: float | None = None) -> list[bool]:
        """See `ScheduleStore.change`."""
        with store.translating(self._shown):
            firing = [change for change in changes if change.jobs and change.row and change.version != ABSENT]
            done = self._fire(firing, self._clock.now() if now is None else now) if firing else set[str]()
            others = self._add([change.row for change in changes if change.row and change.version == ABSENT])
            plain = (change for change in changes if change.version != ABSENT and not (change.jobs and change.row))
            others |= {change.name for change in plain if self._write(change)}
            if others:
                self._storing.ring()
        return [change.name in done or change.name in others for change in changes]

    def begin(self, changes: Sequence[Change], *, now: float) -> Begun | None:
        """See `ScheduleStore.begin`. A transaction without its commit, which takes a tenth of the time of the rest.

        None with a job that has a key or a limit: others may want that key before it is due, and would have to wait.
        """
        storing, some = self._storing, next(_parts(changes), [])
        jobs = (job for change in some for job in change.jobs)
        if not storing.replicated or len(some) < _MANY or any(job.unique or job.gate for job in jobs):
            return None
        with store.translating(self._shown):
            begun = storing.begin(lambda session: self._write_all(some, now, session, again=False))
        return None if begun is None else _Begun(self._shown, *begun)

    def _fire(self, changes: Sequence[Change], now: float) -> set[str]:
        """Change schedules and store their jobs; returns the names of those that were as they should be."""
        storing = self._storing
        jobs = [job for change in changes for job in change.jobs]
        lines = lines_of(jobs)
        storing.order.met(jobs)
        storing.gates.expect(lines, within=False)
        fire = self._fire_within if storing.replicated else self._fire_by_intent
        done = {name for some in _parts(changes) for name in fire(some, now)}
        storing.gates.open(lines)
        return done

    def _fire_within(self, changes: Sequence[Change], now: float) -> set[str]:
        """In a transaction. It writes each schedule and each job once, where an intent writes them twice."""
        storing = self._storing

        def unless_held(session: ClientSession, again: bool) -> set[str]:
            try:
                return self._write_all(changes, now, session, again=again)
            except OperationFailure as error:
                if error.has_error_label("TransientTransactionError"):
                    raise _Held from error
                raise

        try:
            return storing.transact(unless_held)
        except _Held:
            # Somebody else makes jobs of them, or has died over it. Whoever waited for that would give no sign of life.
            storing.patience.met()
            time.sleep(_LOOK_AGAIN)
            return set()

    def _write_all(self, changes: Sequence[Change], now: float, session: ClientSession, *, again: bool) -> set[str]:
        """Write schedules and their jobs in a transaction; returns the names of those that were as they should be."""
        layout = self._layout
        versions = {change.name: change.version for change in changes}
        rows = [_document(change.row) for change in changes if change.row is not None]
        updates: list[UpdateMany] = []
        for some in parts(rows, RESCHEDULED):
            # A version belongs to one name only, as it is random.
            read = [versions[row["_id"]] for row in some]
            updates.append(replaced(some, {"version": {"$in": read}, "mark": None}))
        done = set(versions)
        if layout.schedules.bulk_write(updates, session=session).matched_count < len(rows):
            ours = {"_id": {"$in": list(versions)}, "version": {"$in": [row["version"] for row in rows]}}
            done = {one["_id"] for one in layout.schedules.find(ours, {"_id": 1}, session=session)}
        jobs = [job for change in changes if change.name in done for job in change.jobs]
        self._storing.store_within(jobs, now, session, again)
        return done

    def _fire_by_intent(self, changes: Sequence[Change], now: float) -> set[str]:
        storing, marked = self._storing, set[str]()
        by_name = {change.name: change for change in changes}
        rows = [change.row for change in changes if change.row is not None]

        def begin(token: str) -> bool:
            # Of 100, this takes a third of the time of one update for each; a version belongs to one name only, as it is random.
            versions = {"$in": [change.version for change in changes]}
            schedules = self._layout.schedules
            free = {"_id": {"$in": list(by_name)}, "version": versions, "mark": None}
            schedules.update_many(free, {"$set": {"mark": token}})
            marked.update(one["_id"] for one in schedules.find({"mark": token}, {"_id": 1}))
            return bool(marked)

        def plan(*_: object) -> Plan:
            jobs = [job for name in marked for job in by_name[name].jobs]
            first = self._layout.next_places(len(jobs))
            births = distinct(document(job, first + n, now) for n, job in enumerate(jobs))
            return Plan(births=births, schedules={row.name: _document(row) for row in rows if row.name in marked})

        storing.intents.carry_out(storing.name, [], plan, begin=begin)
        storing.ring()
        return marked

    def _add(self, rows: Sequence[Row]) -> set[str]:
        """Add schedules; returns the names of those that were not there."""
        added = {row.name for row in rows}
        try:
            if rows:
                self._layout.schedules.insert_many(map(_document, rows), ordered=False)
        except BulkWriteError as error:
            refused = duplicates(error)
            if refused is None:
                raise
            added -= {rows[n].name for n in refused}
        return added

    def _write(self, change: Change) -> bool:
        """A change without jobs, which is one of a single document."""
        schedules, made = self._layout.schedules, None if change.row is None else _document(change.row)
        guard = {"_id": change.name, "version": change.version}
        while True:
            changed = store.patiently(self._layout.client, lambda: _put(schedules, {**guard, "mark": None}, made))
            found = None if changed else schedules.find_one(guard, {"mark": 1})
            if found is None:
                return bool(changed)
            # Somebody makes jobs of its runs right now, and will be done in a moment, unless he is dead.
            token = found.get("mark")
            if token is not None and self._may_settle(token):
                self._storing.intents.settle(token)
            time.sleep(_LOOK_AGAIN)


class _Begun(Begun):
    """See `Begun`: a transaction that lacks its commit."""

    def __init__(self, shown: str, session: ClientSession, names: set[str]) -> None:
        self._shown = shown
        self._session = session
        self._names = names

    def finish(self) -> set[str]:
        """See `Begun.finish`."""
        with store.translating(self._shown), self._session as session:
            try:
                session.commit_transaction()
            except OperationFailure as error:
                if any(map(error.has_error_label, _NOT_KNOWN_TO_HOLD)):
                    return set()
                raise
        return self._names

    def drop(self) -> None:
        """See `Begun.drop`."""
        self._session.end_session()


class _Held(Exception):
    """By another transaction."""


def _parts(changes: Sequence[Change]) -> Iterator[list[Change]]:
    """Parts that are not too much for a transaction, or an intent."""
    part: list[Change] = []
    size = count = 0
    for change in changes:
        more = len(change.row.body if change.row else b"") + sum(len(job.payload) + 1000 for job in change.jobs)
        if part and (size + more > LARGEST or count >= _JOBS):
            yield part
            part, size, count = [], 0, 0
        part.append(change)
        size += more
        count += len(change.jobs)
    if part:
        yield part


def _put(schedules: Collection[Document], free: Guard, made: Document | None) -> int:
    if made is None:
        return schedules.delete_one(free).deleted_count
    return schedules.replace_one(free, made).modified_count


def _document(row: Row) -> Document:
    made: Document = {"_id": row.name, "version": row.version, "body": row.body}
    return made if row.next_at is None else {**made, "next_at": row.next_at}


def _row(found: Document) -> Row:
    return Row(found["_id"], int(found["version"]), found.get("next_at"), bytes(found["body"]))
