"""How jobs leave a MongoDB queue and arrive in it; each shipment by an intent.

One mover has its turn at a time. It notes the token of what it is about to do first; whoever finds that it was killed, or was too slow, settles that token
before the next turn begins. So a shipment never arrives twice, and those that leave have their numbers in the order in which they left.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

from pymongo.errors import DuplicateKeyError

from penstock.brokers.mongodb.documents import arriving, departing
from penstock.brokers.mongodb.gates import of_queue
from penstock.brokers.mongodb.layout import Layout
from penstock.brokers.mongodb.plan import Guard, Plan
from penstock.brokers.mongodb.storing import Storing, distinct
from penstock.brokers.transfer import REMEMBERED, WORKFLOWS_STAY, Arrival, Left, Pending
from penstock.core.job import Holder
from penstock.core.limiter import gate_of, is_ordered, line, queue_of
from penstock.core.outcome import Step
from penstock.core.shipment import KeptResult, Shipment, fitting, uncounted
from penstock.errors import MissingFeature, StoreUnavailable
from penstock.stores.mongodb import Document, translating
from penstock.stores.mongodb_clock import ServerClock

#: Seconds that a turn may take; who takes longer is taken for dead.
_TURN = 5.0
_LOOK_AGAIN = 0.005
#: Lines that are looked at, at most, for those that are held.
_LINES = 10_000
#: Seconds for which MongoDB keeps a result that nobody prunes, after it has expired.
_GRACE = 60.0
_LONGEST_TTL = 3e9
_REMEMBER_DISCARDED = timedelta(seconds=REMEMBERED)
#: Holds lines whose jobs leave.
_MOVER = Holder("mover", 0)
_WAITS: Guard = {"worker": None, "state": {"$in": ["ready", "delayed", "parked", "dead", "cancelled"]}}

#: A job's id, the bytes of its payload, and its line where it has a place in the order of that.
_Chosen = tuple[bytes, int, str | None]


class MongoTransfer:
    """See `penstock.brokers.transfer.Transfer`. Made by `MongoBroker.transfer`, whose client it uses."""

    def __init__(self, shown: str, layout: Layout, clock: ServerClock, storing: Storing) -> None:
        self._shown = shown
        self._layout = layout
        self._clock = clock
        self._storing = storing

    def name(self) -> bytes:
        """See `Transfer.name`."""
        with translating(self._shown):
            self._layout.meta.update_one({"_id": "name"}, {"$setOnInsert": {"value": os.urandom(16)}}, upsert=True)
            found = self._layout.meta.find_one({"_id": "name"})
        assert found is not None
        return bytes(found["value"])

    @contextmanager
    def _turn(self, owner: str) -> Iterator[str]:
        """Wait for the turn, and have it; gives the token of what is done in it."""
        meta, token = self._layout.meta, self._storing.intents.new_token(owner)
        while True:
            mine = {"token": token, "until": self._clock.now() + _TURN}
            try:
                meta.insert_one({"_id": "turn", **mine})
                break
            except DuplicateKeyError:
                found = meta.find_one({"_id": "turn"})
            if found is not None and found["until"] < self._clock.now():
                # Whatever becomes of it, from now on it is one or the other.
                self._storing.intents.settle(found["token"])
                if meta.update_one({"_id": "turn", "token": found["token"]}, {"$set": mine}).modified_count:
                    break
            time.sleep(_LOOK_AGAIN)
        try:
            yield token
        except BaseException:
            # What was begun may have been decided, without our hearing of it.
            self._storing.intents.settle(token)
            raise
        finally:
            meta.delete_one({"_id": "turn", "token": token})

    def ship(
        self, bound_for: bytes, place: str, queues: Sequence[str] | None, most: int, *, now: float | None = None
    ) -> tuple[int, Shipment] | None:
        """See `Transfer.ship`. Results leave by shipments of their own."""
        with translating(self._shown), self._turn("ship") as token:
            if self._layout.stages.find_one({"live": True}, {"_id": 1}, hint="live") is not None:
                raise MissingFeature(WORKFLOWS_STAY)
            # Of a mover that was killed in its turn; nobody else is at it.
            self._storing.order.bury({"worker": _MOVER.worker})
            numbers = [one.number for one in self.pending()]
            self._layout.shipped.delete_many({"shipment": {"$nin": numbers}})
            claim = int(self._clock.now() * 1e6)
            try:
                number = self._ship_jobs(token, bound_for, place, queues, most, claim)
            finally:
                self._storing.order.forget(claim)
            if number is None and queues is None:
                number = self._ship_results(bound_for, place, most, self._clock.now() if now is None else now)
            if number is None:
                return None
            shipment = self._read(number)
        return None if shipment is None else (number, shipment)

    def _ship_jobs(
        self, token: str, bound_for: bytes, place: str, queues: Sequence[str] | None, most: int, claim: int
    ) -> int | None:
        chosen = list(self._chosen(queues, most, claim))
        going = [id for id, *_ in chosen[: fitting((size, line) for _, size, line in chosen)]]
        more = most - len(chosen)
        if not going and not self._counters((), everything=queues is None, most=1):
            return None
        number = self._layout.next_shipment()

        def plan(_: str, marked: set[bytes]) -> Plan:
            ids = [id for id in going if id in marked]
            batches = self._layout.jobs.distinct("batch", {"_id": {"$in": ids}, "batch": {"$exists": True}})
            steps = self._counters(batches, everything=queues is None, most=more)
            shipment = {
                "_id": number,
                "id": os.urandom(16),
                "bound_for": bound_for,
                "place": place,
                "ids": ids,
                "steps": [[one.batch, one.done, one.failed, one.retried, one.total] for one in steps],
            }
            made = Plan(deletes=[(ids, {})] if ids else [], shipment=shipment)
            made.count(Step(one.batch, -one.done, -one.failed, -one.retried, -one.total) for one in steps)
            return made

        changes = [(going, _WAITS)] if going else []
        return number if self._storing.intents.carry_out("ship", changes, plan, token=token).shipment else None

    def _chosen(self, queues: Sequence[str] | None, most: int, claim: int) -> Iterator[_Chosen]:
        """Jobs that may leave, in the order in which they go."""
        after = ""
        while most > 0 and (name := self._next_name(after)) is not None:
            after = name
            if is_ordered(gate_of(name)):
                # What keeps an order goes by lines, of which there may be many.
                after = f",{queue_of(name)},>"
            elif queues is None or queue_of(name) in queues:
                found = self._sized({"queue": name, "place": {"$gte": 0}}, "ready", ["place", "_id"], most)
                most -= len(found)
                yield from ((id, size, None) for id, size, _ in found)
        scope = {} if queues is None else {"$or": [of_queue(queue) for queue in queues]}
        if most > 0:
            ordered = self._ordered(scope, most, claim)
            most -= len(ordered)
            yield from ordered
        for field, index, least, by in (
            ("due", "due", -1e300, ["due", "queue"]),
            ("parked", "parked", "", ["home", "_id"]),
            ("ended", "ended", -1e300, ["state", "_id"]),
        ):
            if most > 0:
                found = self._sized({"$and": [{field: {"$gte": least}, "turn": None}, scope]}, index, by, most)
                most -= len(found)
                yield from ((id, size, None) for id, size, _ in found)

    def _next_name(self, after: str) -> str | None:
        found = self._layout.jobs.find({"queue": {"$gt": after}, "place": {"$gte": 0}}, {"queue": 1}).hint("ready")
        return next((str(one["queue"]) for one in found.sort([("queue", 1), ("place", 1)]).limit(1)), None)

    def _sized(self, chosen: Document, index: str, by: Sequence[str], most: int | None) -> list[tuple[bytes, int, str]]:
        """Ids, the sizes of payloads, and names of queues."""
        # An index holds those alone that have the field it is about; of what has ended, that is not the one it is sorted by.
        where = {"$and": [chosen, {"ended": {"$exists": True}}]} if index == "ended" else chosen
        fields = {"queue": 1, "size": {"$binarySize": "$payload"}}
        found = self._layout.jobs.find(where, fields).hint(index).sort([(field, 1) for field in by])
        found = found if most is None else found.limit(most)
        return [(one["_id"], one["size"], one["queue"]) for one in found.batch_size(10_000)]

    def _ordered(self, scope: Document, most: int, claim: int) -> Sequence[_Chosen]:
        """Jobs of whole lines, so that nobody here goes on with what is behind those that have left."""
        layout = self._layout
        held = [one["_id"] for one in layout.holds.find({}, {"_id": 1}).limit(_LINES)]
        where = {"$and": [{"turn": {"$gte": 0}, "queue": {"$nin": held}}, scope]}
        found = layout.jobs.find(where, {"queue": 1}).hint("order").sort([("queue", 1), ("turn", 1)]).limit(most)
        names = [name for name, _ in groupby(one["queue"] for one in found)]
        mine = self._storing.order.hold(names, claim, _MOVER, self._clock.now()) if names else []
        if not mine:
            return []
        return self._sized({"queue": {"$in": mine}, "turn": {"$gte": 0}}, "order", ["queue", "turn", "_id"], None)

    def _counters(self, batches: Sequence[bytes], *, everything: bool, most: int) -> list[Step]:
        """The counters of batches, and of some that have no job here that waits or has ended."""
        some = {"$or": [{name: {"$nin": [0, None]}} for name in ("total", "done", "failed", "retried")]}
        found = self._layout.batches.find({"_id": {"$in": list(batches)}, **some}).to_list() if batches else []
        if most > 0:
            left = some if everything else {"$and": [some, {"total": {"$in": [0, None]}}]}
            known = {one["_id"] for one in found}
            for one in self._layout.batches.find(left):
                here = {"batch": one["_id"], "worker": None, "birth": None}
                if one["_id"] not in known and self._layout.jobs.find_one(here, {"_id": 1}) is None:
                    found.append(one)
                    if len(found) >= most:
                        break
        return [
            Step(one["_id"], *(int(one.get(name, 0)) for name in ("done", "failed", "retried", "total")))
            for one in found
        ]

    def _ship_results(self, bound_for: bytes, place: str, most: int, now: float) -> int | None:
        """A result carries the number of its shipment, and is still there to be read."""
        layout = self._layout
        numbers = [one["_id"] for one in layout.shipments.find({"gone": None}, {"_id": 1})]
        fields = {"size": {"$binarySize": "$value"}}
        found = (
            layout.results.find({"expires": {"$gt": now}, "shipment": {"$nin": numbers}}, fields).limit(most).to_list()
        )
        going = [one["_id"] for one in found[: fitting((one["size"], None) for one in found)]]
        if not going:
            return None
        number = layout.next_shipment()
        layout.results.update_many({"_id": {"$in": going}}, {"$set": {"shipment": number}})
        layout.shipments.insert_one(
            {
                "_id": number,
                "id": os.urandom(16),
                "bound_for": bound_for,
                "place": place,
                "ids": [],
                "steps": [],
                "results": True,
            }
        )
        return number

    def pending(self) -> Sequence[Pending]:
        """See `Transfer.pending`."""
        with translating(self._shown):
            found = self._layout.shipments.find({"gone": None}, {"bound_for": 1}).sort("_id", 1).to_list()
        return [Pending(one["_id"], bytes(one["bound_for"])) for one in found]

    def shipment(self, number: int) -> Shipment | None:
        """See `Transfer.shipment`."""
        with translating(self._shown):
            return self._read(number)

    def _read(self, number: int) -> Shipment | None:
        layout = self._layout
        found = layout.shipments.find_one({"_id": number, "gone": None})
        if found is None:
            return None
        jobs = layout.shipped.find({"shipment": number}).hint("shipment").sort("number", 1).to_list()
        results: list[Document] = []
        if found.get("results"):
            results = layout.results.find({"shipment": number}).hint("shipment").to_list()
        if len(jobs) < len(found["ids"]):
            if layout.shipments.find_one({"_id": number, "gone": None}) is None:
                return None
            raise StoreUnavailable(f"{self._shown}: a shipment could not be read whole: try again")
        return Shipment(
            bytes(found["id"]),
            tuple(departing(one["job"]) for one in jobs),
            tuple(KeptResult(one["_id"], one["value"], float(one["expires"])) for one in results),
            tuple(Step(bytes(batch), *map(int, counts)) for batch, *counts in found["steps"]),
        )

    def receive(self, shipment: Shipment) -> Arrival | None:
        """See `Transfer.receive`."""
        jobs = shipment.jobs
        with translating(self._shown), self._turn("arrive") as token:
            if self._layout.arrivals.find_one({"_id": shipment.id}) is not None:
                return None
            first = self._layout.next_places(len(jobs)) if jobs else 0
            births = distinct(arriving(job, first + n) for n, job in enumerate(jobs))
            lines = [line(job.queue, job.gate) for job in jobs if job.gate is not None and not is_ordered(job.gate)]
            self._storing.gates.expect(list(dict.fromkeys(lines)))
            wanted = Plan(births=births, arrival=shipment.id, results=[self._result(one) for one in shipment.results])
            wanted.count(shipment.steps)

            def stored(plan: Plan) -> None:
                there = {born["_id"] for born in plan.births}
                plan.count(step for job in jobs if job.id not in there and (step := uncounted(job)) is not None)

            count = len(
                self._storing.intents.carry_out("arrive", [], lambda *_: wanted, token=token, stored=stored).births
            )
            self._storing.order.met(jobs)
            self._storing.gates.open(lines)
            # What went elsewhere may be among these.
            self._layout.shipments.update_many({"place": {"$gte": ""}}, {"$unset": {"place": 1}})
            self._storing.ring()
        return Arrival(count, len(jobs) - count)

    def _result(self, kept: KeptResult) -> Document:
        result: Document = {"_id": kept.id, "value": kept.value, "expires": kept.expires_at}
        ttl = kept.expires_at - self._clock.now()
        if ttl < _LONGEST_TTL:
            result["gone"] = datetime.fromtimestamp(self._clock.now() + max(0.0, ttl) + _GRACE, UTC)
        return result

    def discard(self, number: int) -> None:
        """See `Transfer.discard`."""
        with translating(self._shown):
            self._layout.results.delete_many({"shipment": number})
            # First, so that nobody takes what is left of it for the whole; and kept for a while, as whoever is slow to finish its intent would make it anew.
            gone = datetime.now(UTC) + _REMEMBER_DISCARDED
            self._layout.shipments.update_one({"_id": number}, {"$set": {"gone": gone}})
            self._layout.shipped.delete_many({"shipment": number})

    def settle(self, ids: Sequence[bytes], *, now: float | None = None) -> None:
        """See `Transfer.settle`."""
        with translating(self._shown):
            moment = self._clock.now() if now is None else now
            arrivals = self._layout.arrivals
            arrivals.update_many({"_id": {"$in": list(ids)}, "settled": None}, {"$set": {"settled": moment}})
            arrivals.delete_many({"settled": {"$lt": moment - REMEMBERED}})

    def left(self, queues: Sequence[str] | None, *, now: float | None = None) -> Left:
        """See `Transfer.left`."""
        layout = self._layout
        scope: Document = {} if queues is None else {"$or": [of_queue(queue) for queue in queues]}
        with translating(self._shown):
            names = [one["_id"] for one in layout.holds.find({}, {"_id": 1}).limit(_LINES)]
            held = layout.jobs.count_documents({"$and": [{"worker": {"$gte": ""}}, scope]})
            if names:
                behind: list[Any] = [{"queue": {"$in": names}, "turn": {"$gte": 0}, "worker": None}, scope]
                held += layout.jobs.count_documents({"$and": behind})
            total = layout.jobs.count_documents({"$and": [{"birth": None}, scope]})
            others = len(self._counters((), everything=queues is None, most=_LINES))
            if queues is None:
                moment = self._clock.now() if now is None else now
                others += layout.results.count_documents({"expires": {"$gt": moment}})
        return Left(max(0, total - held) + others, held)
