"""Reading and repairing a MongoDB queue."""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
from pymongo.client_session import ClientSession

from penstock.brokers.base import WorkerInfo
from penstock.brokers.inspect import BatchRecord, QueueCounts, Selection, WorkerRecord
from penstock.brokers.mongodb.census import Census
from penstock.brokers.mongodb.documents import Update, record, to_the_back
from penstock.brokers.mongodb.gates import of_queue
from penstock.brokers.mongodb.layout import Layout
from penstock.brokers.mongodb.metrics import samples
from penstock.brokers.mongodb.repairs import Repair
from penstock.brokers.mongodb.storing import Storing
from penstock.brokers.mongodb.waiting import again, turn
from penstock.core.job import JobRecord
from penstock.core.limiter import gate_of, queue_gate, queue_of
from penstock.core.metrics import FINE, Sample
from penstock.core.standing import COUNTED, Awaited, Standing
from penstock.core.states import State
from penstock.core.workflow import StageState
from penstock.stores.mongodb import Document, translating
from penstock.stores.mongodb_clock import ServerClock

_WAITING = (State.READY, State.DELAYED, State.PARKED, State.WAITING)
_ENDED = (State.DEAD, State.CANCELLED)
#: Jobs that wait for their stage, by their index.
_IN_STAGES: dict[str, Any] = {"waits": {"$exists": True}}


class MongoInspector:
    """See `penstock.brokers.inspect.Inspector`. Made by `MongoBroker.inspector`, whose client it uses."""

    def __init__(self, shown: str, layout: Layout, clock: ServerClock, storing: Storing, *, replicated: bool) -> None:
        self._shown = shown
        self._layout = layout
        self._clock = clock
        self._storing = storing
        self._replicated = replicated

    def get(self, id: bytes) -> JobRecord | None:
        """See `Inspector.get`."""
        with translating(self._shown):
            found = self._layout.jobs.find_one({"_id": id, "birth": None})
        return None if found is None else record(found)

    def list(self, selection: Selection, *, limit: int = 50, after: bytes | None = None) -> Sequence[JobRecord]:
        """See `Inspector.list`."""
        if limit <= 0:
            return []
        beyond = {} if after is None else {"_id": {"$gt": after}}
        with translating(self._shown):
            found = self._layout.jobs.find({"$and": [_where(selection), {"birth": None}, beyond]})
            return [record(one) for one in found.sort("_id", 1).limit(limit)]

    def count(self, *, most: int | None = None) -> Sequence[QueueCounts]:
        """See `Inspector.count`."""
        with translating(self._shown), self._at_once() as session:
            return Census(self._layout, session, most).queues()

    @contextmanager
    def _at_once(self) -> Iterator[ClientSession | None]:
        """Reads that see one moment: or a job that is claimed between two of them would be in neither. None on a server
        that stands alone, which has no such thing.
        """
        if not self._replicated:
            yield None
            return
        with self._layout.jobs.database.client.start_session(snapshot=True) as session:
            yield session

    def workers(self) -> Sequence[WorkerRecord]:
        """See `Inspector.workers`."""
        with translating(self._shown):
            now = self._clock.ask()
            held: builtins.list[Mapping[str, Any]] = [
                {"$match": {"worker": {"$gte": ""}}},
                {"$group": {"_id": "$worker", "count": {"$sum": 1}}},
            ]
            running = {one["_id"]: one["count"] for one in self._layout.jobs.aggregate(held, hint="held")}
            found = self._layout.workers.find({"info": {"$exists": True}}).sort("_id", 1).to_list()
        return [_worker(one, now, running.get(one["_id"], 0)) for one in found]

    def metrics(self, since: float, *, span: int = FINE) -> Sequence[Sample]:
        """See `Inspector.metrics`."""
        with translating(self._shown):
            return samples(self._layout, since, span)

    def result(self, id: bytes, *, now: float | None = None) -> bytes | None:
        """See `Inspector.result`."""
        with translating(self._shown):
            now = self._clock.now() if now is None else now
            found = self._layout.results.find_one({"_id": id, "expires": {"$gt": now}}, {"value": 1})
        return None if found is None else found["value"]

    def batch(self, id: bytes) -> BatchRecord | None:
        """See `Inspector.batch`."""
        with translating(self._shown):
            found = self._layout.batches.find_one({"_id": id})
        if found is None:
            return None
        total, done, failed, retried = (found.get(name, 0) for name in ("total", "done", "failed", "retried"))
        return BatchRecord(id, total, done, failed, retried)

    def moved_to(self, id: bytes) -> str | None:
        """See `Inspector.moved_to`."""
        with translating(self._shown):
            # Of each batch, its id and counters are in an array.
            went = {"place": {"$gte": ""}, "$or": [{"ids": id}, {"steps": {"$elemMatch": {"0": id}}}]}
            found = self._layout.shipments.find_one(went, {"place": 1}, sort=[("_id", -1)])
        return None if found is None else str(found["place"])

    def standing(self, id: bytes) -> Standing | None:
        """See `Inspector.standing`."""
        jobs = self._layout.jobs
        with translating(self._shown):
            found = jobs.find_one({"_id": id, "place": {"$gte": 0}}, {"queue": 1, "place": 1, "turn": 1})
            if found is None:
                awaits = self._awaits(id)
                return Standing(awaits=awaits) if awaits else None
            queue, first = found["queue"], None
            before, hint = {"place": {"$gte": 0, "$lt": found["place"]}}, "ready"
            if "turn" in found:
                before, hint = {"turn": {"$gte": 0, "$lt": found["turn"]}}, "order"
                first = jobs.find_one({"queue": queue, **before}, {"_id": 1}, sort=[("turn", 1)], hint="order")
            ahead = jobs.count_documents({"queue": queue, **before}, hint=hint, limit=COUNTED + 1)
            gates = self._storing.gates.states((gate_of(queue), queue_gate(queue_of(queue))), self._clock.now())
        return Standing(ahead, None if first is None else first["_id"], gates)

    def _awaits(self, id: bytes) -> tuple[Awaited, ...]:
        """The stages that a job waits for, in their order."""
        layout = self._layout
        found = layout.jobs.find_one({"_id": id, "waits": {"$exists": True}}, {"batch": 1})
        own = None if found is None else layout.stages.find_one({"_id": found["batch"], "waits": {"$exists": True}})
        if own is None:
            return ()
        counters = {one["_id"]: one for one in layout.batches.find({"_id": {"$in": own["waits"]}})}
        stages = layout.stages.find({"_id": {"$in": own["waits"]}}, {"name": 1}).sort("position", 1)
        told = ((one["name"], counters.get(one["_id"], {})) for one in stages)
        return tuple(Awaited(name, of.get("done", 0) + of.get("failed", 0), of.get("total", 0)) for name, of in told)

    def cancel(self, selection: Selection) -> int:
        """See `Inspector.cancel`."""
        with translating(self._shown):
            count = self._cancel_waiting(_where(selection))
            running = {"$and": [_where(selection), {"worker": {"$gte": ""}, "mark": None}]}
            marked = self._layout.jobs.update_many(running, {"$set": {"cancelled": True}}).matched_count
            if marked or (count and self._storing.order.may_keep()):
                self._storing.ring()
            self._storing.ends.tell(())
        return count + marked

    def _cancel_waiting(self, chosen: Mapping[str, Any]) -> int:
        update: Update = {
            "$set": {"state": State.CANCELLED.value, "ended": self._clock.now()},
            "$unset": {"place": 1, "due": 1, "parked": 1, "unique": 1, "cancelled": 1, "turn": 1, "waits": 1},
        }
        # First those that others may start, or stop, as they are cancelled.
        count = self._repair((State.WAITING,), update, "failed").run({"$and": [chosen, _IN_STAGES]})
        return count + self._repair(_WAITING, update, "failed").run(chosen)

    def cancelled(self, worker: str) -> builtins.list[tuple[int, bytes]]:
        """See `Broker.cancelled`. A mark found on a job that does not run is carried out.

        Looking for the mark and giving the job back are two steps, and somebody may ask in between.
        """
        with translating(self._shown):
            found = self._layout.jobs.find({"cancelled": True}, {"worker": 1, "process": 1, "state": 1}).to_list()
            waiting = [one["_id"] for one in found if one["state"] in {state.value for state in _WAITING}]
            if waiting:
                self._cancel_waiting({"_id": {"$in": waiting}, "cancelled": True})
        return [(one["process"], one["_id"]) for one in found if one.get("worker") == worker]

    def retry(self, selection: Selection) -> int:
        """See `Inspector.retry`."""
        with translating(self._shown):
            chosen = _where(selection)
            names = self._layout.jobs.distinct("queue", {"$and": [chosen, {"ended": {"$exists": True}}]})
            stages = self._stages_of(chosen)
            turns = {one["_id"]: int(one["turn"]) for one in stages}
            started = {one["_id"] for one in stages if one["state"] == StageState.STARTED}
            others = [id for id in turns if id not in started]
            # With its stage a job was cancelled that lacks what it is to be given; it goes on with that.
            free = {"$and": [chosen, {"batch": {"$nin": others}}]} if others else chosen
            back = to_the_back(self._layout.next_places(1), self._clock.now())
            count = self._repair(_ENDED, back, "failed", -1, turns).run({**free, "fate": None})
            for one in stages:
                if one["state"] == StageState.WAITING:
                    wait = again(turn(one["_id"], turns[one["_id"]]))
                    mine = {"$and": [chosen, {"batch": one["_id"]}]}
                    count += self._repair(_ENDED, wait, "failed", -1, turns).run(mine)
            if count:
                self._storing.gates.open(names)
                self._storing.ring()
        return count

    def _stages_of(self, chosen: Mapping[str, Any]) -> builtins.list[Document]:
        """The stages of those jobs among the chosen that have ended."""
        ended = {"$and": [chosen, {"ended": {"$exists": True}, "batch": {"$exists": True}}]}
        batches = self._layout.jobs.distinct("batch", ended)
        if not batches:
            return []
        return self._layout.stages.find({"_id": {"$in": batches}}, {"state": 1, "turn": 1}).to_list()

    def delete(self, selection: Selection) -> int:
        """See `Inspector.delete`."""
        with translating(self._shown):
            # A job that ended is counted in its batch already; one that waits takes its items with it, or counts as failed in a workflow.
            count = self._repair(_ENDED, None).run(_where(selection))
            chosen = _where(selection)
            count += self._repair((State.WAITING,), None, "total", -1).run({"$and": [chosen, _IN_STAGES]})
            count += self._repair(_WAITING, None, "total", -1).run(chosen)
            if count and self._storing.order.may_keep():
                self._storing.ring()
            self._storing.ends.tell(())
        return count

    def purge(self, queue: str) -> int:
        """Delete the ready and delayed jobs of a queue; returns how many."""
        with translating(self._shown):
            return self._repair((State.READY, State.DELAYED), None, "total", -1).run(of_queue(queue))

    def _repair(
        self, states: Sequence[State], update: Update | None, counter: str | None = None, sign: int = 1,
        turns: Mapping[bytes, int] | None = None,
    ) -> Repair:  # fmt: skip
        guard = {"state": {"$in": [state.value for state in states]}}
        return Repair(self._layout, self._storing, guard, update, counter, sign, turns)


def _where(selection: Selection) -> dict[str, Any]:
    """The filter of a selection."""
    chosen: dict[str, Any] = {}
    if selection.ids is not None:
        chosen["_id"] = {"$in": list(selection.ids)}
    both: builtins.list[dict[str, Any]] = []
    if selection.queue is not None:
        both.append(of_queue(selection.queue))
    if selection.state is not None:
        both.append({"state": selection.state.value})
        if selection.state in _ENDED:
            chosen["ended"] = {"$exists": True}
        if selection.state is State.WAITING:
            chosen["waits"] = {"$exists": True}
    if both:
        chosen["$and"] = both
    for field in ("task", "batch"):
        value = getattr(selection, field)
        if value is not None:
            chosen[field] = value
    return chosen


def _worker(found: Document, now: float, running: int) -> WorkerRecord:
    info = msgspec.msgpack.decode(found["info"], type=WorkerInfo)
    return WorkerRecord(
        info.id, info.host, info.pid, info.pool, info.slots, info.queues, info.started_at, now - found["beat"], running,
        info.jobs, info.lanes, info.trouble,
    )  # fmt: skip
