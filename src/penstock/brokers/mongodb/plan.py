"""What is to be written together, as a value, and the one place that writes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from pymongo import ReplaceOne, UpdateMany, UpdateOne
from pymongo.client_session import ClientSession
from pymongo.errors import BulkWriteError

from penstock.brokers.mongodb.documents import Update
from penstock.brokers.mongodb.layout import Layout
from penstock.core.outcome import Step
from penstock.stores.mongodb import Document

DUPLICATE = 11000
#: How many of the last writers a batch remembers, to tell a repetition; an intent is repeated soon or never.
_REMEMBERED = 100
#: Jobs of a shipment that are copied at one go.
_COPIED = 500

#: Schedules of one update: it looks for each among all of them.
RESCHEDULED = 50

T = TypeVar("T")
Guard = Mapping[str, Any]
#: Ids, what the jobs must be like, and what becomes of them.
Change = tuple[list[bytes], Guard, Update]


class Plan(msgspec.Struct):
    """Changes that belong together. A job that does not fit its guard any more is left alone.

    `deletes` has ids and their guard; `updates` has ids, their guard and the update; `again` has those of jobs that go on; `births` are jobs to be stored,
    `grows` says that their items add to the totals of their batches; `results` are documents of results, `steps` what
    to add to the counters of batches, and `inbox` says that the messages taken have become jobs. With a `shipment`, its document, the jobs
    that are deleted leave by it; `arrival` is the id of one that has arrived. `schedules` has the names of schedules and what they become.
    Of workflows, `flow` has stages to `settle` whatever their counters say, to `stop`, to `resume` (with the turn in which each was cancelled) and some with
    jobs that were `retried` (with the turn in which these may wait); `born` says that one is stored. All that is `at` a time, or as it is done.
    """

    deletes: list[tuple[list[bytes], Guard]] = []
    updates: list[Change] = []
    again: list[Change] = []
    births: list[Document] = []
    grows: bool = False
    results: list[Document] = []
    steps: dict[bytes, dict[str, int]] = {}
    inbox: bool = False
    shipment: Document | None = None
    arrival: bytes | None = None
    schedules: dict[str, Document] = {}
    flow: Document = {}
    at: float = 0.0

    def count(self, steps: Iterable[Step]) -> None:
        """Add to the counters of batches."""
        for step in steps:
            sums = self.steps.setdefault(step.batch, {})
            for name in ("total", "done", "failed", "retried"):
                if value := getattr(step, name):
                    sums[name] = sums.get(name, 0) + value

    def grow(self, births: Iterable[Document]) -> None:
        """Add the items of jobs that are stored to the totals of their batches."""
        self.count(Step(born["batch"], total=born.get("items", 1)) for born in births if "batch" in born)


def arrive(layout: Layout, shipment: bytes) -> None:
    """Remember that a shipment has arrived."""
    layout.arrivals.update_one({"_id": shipment}, {"$setOnInsert": {"_id": shipment}}, upsert=True)


def replaced(schedules: Sequence[Document], guard: Guard) -> UpdateMany:
    """The change of schedules that fit a guard. By one update: of 50, it takes a quarter of the time of one for each."""
    names = [one["_id"] for one in schedules]
    place = {"$indexOfArray": [{"$literal": names}, "$_id"]}
    row = {"$arrayElemAt": [{"$literal": list(schedules)}, place]}
    return UpdateMany({"_id": {"$in": names}, **guard}, [{"$replaceWith": row}])


def reschedule(layout: Layout, schedules: Sequence[Document], guard: Guard) -> None:
    """Change schedules that fit their guard, which they do not any more then."""
    if schedules:
        updates = [replaced(some, guard) for some in parts(schedules, RESCHEDULED)]
        layout.schedules.bulk_write(updates, ordered=False)


def parts(all: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """One after another, with so many in each."""
    return (all[first : first + size] for first in range(0, len(all), size))


def load(layout: Layout, shipment: Document, guard: Guard) -> None:
    """Copy the jobs that leave into their shipment, as often as it takes. Their order is in the shipment."""
    orders = {id: n for n, id in enumerate(shipment["ids"])}
    number, copies = shipment["_id"], list[Document]()
    for found in layout.jobs.find(dict(guard)):
        id = found["_id"]
        copies.append({"_id": {"n": number, "id": id}, "shipment": number, "number": orders[id], "job": found})
        if len(copies) == _COPIED:
            _copy(layout, copies)
            copies = []
    if copies:
        _copy(layout, copies)


def _copy(layout: Layout, copies: Sequence[Document]) -> None:
    try:
        layout.shipped.insert_many(copies, ordered=False)
    except BulkWriteError as error:
        if duplicates(error) is None:
            raise


def write(layout: Layout, plan: Plan, session: ClientSession | None) -> None:
    """Write everything but the births.

    Without a session nothing ties the writes together, so the order matters: a result goes in before its job goes, and a
    kill in between has the job run again.
    """
    _keep(layout, plan.results, session)
    for ids, guard in plan.deletes:
        layout.jobs.delete_many({"_id": {"$in": ids}, **guard}, session=session)
    updates = [_operation(ids, guard, update) for ids, guard, update in (*plan.updates, *plan.again)]
    if updates:
        layout.jobs.bulk_write(updates, ordered=False, session=session)
    # Last: workers of one batch meet here, and a transaction should not hold the counters for longer than it must.
    if plan.steps:
        counts = [UpdateOne({"_id": batch}, {"$inc": sums}, upsert=True) for batch, sums in _sorted(plan.steps)]
        layout.batches.bulk_write(counts, session=session)


def _sorted(steps: Mapping[bytes, dict[str, int]]) -> Sequence[tuple[bytes, dict[str, int]]]:
    """In one order for everybody, so that two do not wait for each other."""
    return [(batch, sums) for batch, sums in sorted(steps.items()) if sums]


def count_once(layout: Layout, steps: Mapping[bytes, dict[str, int]], token: str) -> None:
    """Add to the counters of batches, if this writer has not done so before."""
    operations: list[UpdateOne] = []
    for batch, sums in _sorted(steps):
        operations.append(UpdateOne({"_id": batch}, {"$setOnInsert": {"total": 0}}, upsert=True))
        remembered = {"$each": [token], "$slice": -_REMEMBERED}
        operations.append(
            UpdateOne({"_id": batch, "applied": {"$ne": token}}, {"$inc": sums, "$push": {"applied": remembered}})
        )
    if operations:
        layout.batches.bulk_write(operations)


def _operation(ids: list[bytes], guard: Guard, update: Update) -> UpdateOne | UpdateMany:
    if len(ids) == 1:
        return UpdateOne({"_id": ids[0], **guard}, update)
    return UpdateMany({"_id": {"$in": ids}, **guard}, update)


def _keep(layout: Layout, results: Sequence[Document], session: ClientSession | None) -> None:
    """Store results; an old one of the same job makes room."""
    if not results:
        return
    if session is not None:
        layout.results.delete_many({"_id": {"$in": [one["_id"] for one in results]}}, session=session)
    try:
        layout.results.insert_many(results, ordered=session is not None, session=session)
    except BulkWriteError as error:
        refused = duplicates(error)
        if session is not None or refused is None:
            raise
        layout.results.bulk_write([ReplaceOne({"_id": results[n]["_id"]}, results[n], upsert=True) for n in refused])


def duplicates(error: BulkWriteError) -> list[int] | None:
    """Which documents were there already; None where anything else went wrong as well."""
    errors = error.details.get("writeErrors", [])
    if error.details.get("writeConcernErrors") or any(one["code"] != DUPLICATE for one in errors):
        return None
    return [one["index"] for one in errors]
