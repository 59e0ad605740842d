"""The MongoDB broker: a queue in a database of the user's, on a replica set or on a server that stands alone.

A job is one document, and what a single document holds changes at once or not at all: a claim, an ending, a retry. Where
more goes together (follow-ups, counters), it is written down before it is done: see `intents`. Endings are fenced by `(id, claim)`; a
job is never taken twice by the same claim number.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import ClassVar

import msgspec
from pymongo import UpdateOne
from pymongo.collection import Collection

from penstock.brokers.base import COUNTED, EVERY_BATCH, SOME_BATCHES, Backlog, Exchange, Feature, WorkerInfo
from penstock.brokers.listener import Listener
from penstock.brokers.mongodb import ends, topics
from penstock.brokers.mongodb.backlog import backlog
from penstock.brokers.mongodb.batches import prune_batches
from penstock.brokers.mongodb.claims import Claims
from penstock.brokers.mongodb.documents import to_its_place
from penstock.brokers.mongodb.endings import Endings
from penstock.brokers.mongodb.gates import of_queue
from penstock.brokers.mongodb.inbox import Inbox
from penstock.brokers.mongodb.layout import Layout
from penstock.brokers.mongodb.listen import listening
from penstock.brokers.mongodb.metrics import prune_metrics, record_metrics
from penstock.brokers.mongodb.results import prune_results
from penstock.brokers.mongodb.sides import Parts, Sides
from penstock.brokers.mongodb.stages import prune_workflows
from penstock.brokers.mongodb.storing import Storing
from penstock.core.clock import Steady
from penstock.core.job import Holder, Lease, NewJob
from penstock.core.limiter import Limit
from penstock.core.metrics import Point
from penstock.core.outcome import Outcome
from penstock.core.topics import Event, Routing, Subscription
from penstock.stores import mongodb as store
from penstock.stores.mongodb_clock import ServerClock

_OPTIONS = ("namespace",)
#: Delayed jobs that one update makes ready, in the order in which they are due.
_TOGETHER = 1000
#: The first of them: the first of many that are due at once should not wait for the last.
_FIRST = 100
#: Helpings from the inbox at one go, so that a flood of messages keeps no heartbeat waiting.
_HELPINGS = 20
#: Lines of jobs behind a limit that `backlog` looks at.
_LINES = 100


class MongoBroker(Sides):
    """A queue in a database: `mongodb://host/shop?replicaSet=rs0&namespace=penstock`."""

    features: ClassVar[frozenset[Feature]] = frozenset(Feature)
    tells_within: ClassVar[bool] = False

    def __init__(self, url: str) -> None:
        self._url = store.parse(url, _OPTIONS)
        self._namespace = self._url.options.get("namespace", "penstock")
        self._parts: Parts | None = None
        self._steady = Steady()
        self._routing = Routing()
        #: Workers whose last beat lies in the future, with that beat and since when it has been so.
        self._ahead: dict[str, tuple[float, float]] = {}

    def open(self) -> None:
        """See `Broker.open`."""
        if self._parts is None:
            self._parts = self._connect()
            try:
                with self._translating():
                    current = self._parts.layout.schema()
                if current.installed != current.known:
                    self.install()
            except BaseException:
                self.close()
                raise

    def _connect(self) -> Parts:
        client = store.connect(self._url)
        try:
            with self._translating():
                replicated = store.is_replica_set(client)
            layout = Layout(client, self._url.database, self._namespace)
        except BaseException:
            client.close()
            raise
        clock = ServerClock(client)
        storing = Storing(layout, clock, replicated=replicated)
        return Parts(
            client, layout, clock, storing, Endings(layout, clock, storing), Claims(layout, clock, storing.gates, storing.order), Inbox(layout, storing),
            replicated,
        )  # fmt: skip

    def close(self) -> None:
        """See `Broker.close`."""
        if self._parts is not None:
            self._parts.client.close()
            self._parts = None

    def install(self) -> None:
        """See `Broker.install`."""
        parts = self._opened
        with self._translating():
            parts.layout.install(self._url.shown, replicated=parts.replicated)

    def enqueue(self, jobs: Sequence[NewJob], *, now: float | None = None, tx: object | None = None) -> list[bytes]:
        """See `Broker.enqueue`; `tx` is a `pymongo.client_session.ClientSession` with a transaction begun."""
        parts = self._opened
        with self._translating():
            now = parts.clock.now() if now is None else now
            if tx is None:
                return parts.storing.enqueue(jobs, now, None)
            session = self._joined(tx)
            return self._in(session).storing.enqueue(jobs, now, session)

    def exchange(
        self, outcomes: Sequence[Outcome], queues: Sequence[str], limit: int, holder: Holder, *,
        now: float | None = None, tx: object | None = None,
    ) -> Exchange:  # fmt: skip
        """See `Broker.exchange`; `tx` is a `pymongo.client_session.ClientSession` with a transaction begun."""
        parts = self._opened
        with self._translating():
            now = parts.clock.now() if now is None else now
            if tx is not None:
                session = self._joined(tx)
                return Exchange([], self._in(session).endings.hand_in(outcomes, now, holder, session))
            parts.storing.intents.settle_owed()
            stale = parts.endings.hand_in(outcomes, now, holder) if outcomes else []
            return Exchange(parts.claims.take(queues, limit, holder, now) if limit > 0 else [], stale)

    def go_around(self, others: int) -> bool:
        """See `Broker.go_around`."""
        self._opened.claims.go_around(others)
        return True

    def abandon(self, holder: Holder, crashed: Sequence[bytes] = ()) -> int:
        """See `Broker.abandon`."""
        parts = self._opened
        held = {"worker": holder.worker, "process": holder.process}
        with self._translating():
            return parts.endings.give_back(held, crashed, f"{holder.worker}/{holder.process}")

    def purge(self, queue: str) -> int:
        """See `Broker.purge`."""
        return self.inspector().purge(queue)

    def heartbeat(self, worker: WorkerInfo, *, now: float | None = None) -> None:
        """See `Broker.heartbeat`; `now` is in epoch seconds, by the server's clock."""
        # The server's time when it is written, however late that is: one that was held up must not make the worker look as if it had been silent since.
        beat = {"$divide": [{"$toLong": "$$NOW"}, 1000]} if now is None else now
        shown = {"info": msgspec.msgpack.encode(worker), "beat": beat}
        with self._translating():
            self._opened.layout.workers.update_one({"_id": worker.id}, [{"$set": shown}], upsert=True)

    def depart(self, worker: str) -> None:
        """See `Broker.depart`."""
        parts = self._opened
        with self._translating():
            parts.endings.give_back({"worker": worker}, (), worker)
            parts.layout.workers.delete_one({"_id": worker})

    def rescue(self, *, dead_after: float, now: float | None = None) -> int:
        """See `Broker.rescue`; `now` is in epoch seconds, by the server's clock.

        While that clock has stepped lately, nobody is judged.
        """
        parts = self._opened
        with self._translating():
            if now is None:
                asked = time.monotonic()
                now = parts.clock.ask()
                if not self._steady.observe(now, asked):
                    return 0
            parts.storing.intents.settle_old()
            rescued = 0
            for worker, beat in self._dead(parts.layout, dead_after, now):
                rescued += parts.endings.give_back({"worker": worker}, (), worker)
                # One that has come to life meanwhile stays on the list.
                parts.layout.workers.delete_one({"_id": worker, "beat": beat})
            return rescued

    def _dead(self, layout: Layout, dead_after: float, now: float) -> list[tuple[str, float]]:
        beats = {found["_id"]: float(found["beat"]) for found in layout.workers.find({}, {"beat": 1})}
        self._await_a_beat_of(layout, set(layout.jobs.distinct("worker", {"worker": {"$gte": ""}})) - beats.keys(), now)
        # A beat in the future is from before the server's clock was set back; of a live worker, another will come.
        ours = time.monotonic()
        future = {worker: beat for worker, beat in beats.items() if beat > now + dead_after}
        self._ahead = {
            worker: (beat, since if beat == seen else ours)
            for worker, beat in future.items()
            for seen, since in [self._ahead.get(worker, (beat, ours))]
        }
        silent = {worker for worker, (_, since) in self._ahead.items() if ours - since > dead_after}
        return [(worker, beat) for worker, beat in beats.items() if beat < now - dead_after or worker in silent]

    def _await_a_beat_of(self, layout: Layout, unknown: Iterable[str], now: float) -> None:
        """Workers that hold jobs and are not on the list get as long as any other to give a sign of life."""
        noted = [UpdateOne({"_id": worker}, {"$setOnInsert": {"beat": now}}, upsert=True) for worker in unknown]
        if noted:
            layout.workers.bulk_write(noted)

    def promote(self, *, now: float | None = None, limit: int = 10_000) -> float | None:
        """See `Broker.promote`. Empties the inbox as well."""
        parts = self._opened
        with self._translating():
            moment = parts.clock.now() if now is None else now
            for _ in range(_HELPINGS):
                if not parts.inbox.empty(parts.clock.now):
                    break
            opens_in, opened = parts.storing.gates.look(moment)
            if opened:
                parts.storing.ring()
            jobs = parts.layout.jobs
            together = _FIRST
            while ready := self._due(jobs, {"$gte": 0, "$lte": moment}, min(limit, together)):
                parts.storing.make_ready(ready, moment)
                together = min(4 * together, _TOGETHER)
            following = self._due(jobs, {"$gte": 0}, 1)
            waits = [float(one["due"]) - moment for one in following]
            return min(waits if opens_in is None else [*waits, opens_in], default=None)

    def _due(self, jobs: Collection[store.Document], when: dict[str, float], limit: int) -> list[store.Document]:
        return jobs.find({"due": when}, {"due": 1, "queue": 1}).hint("due").sort("due", 1).limit(limit).to_list()

    def held(self, holder: Holder) -> list[Lease]:
        """See `Broker.held`."""
        parts = self._opened
        with self._translating():
            return parts.endings.held(holder)

    def cancelled(self, worker: str) -> list[tuple[int, bytes]]:
        """See `Broker.cancelled`."""
        return self.inspector().cancelled(worker)

    def backlog(self, queues: Sequence[str], *, now: float | None = None, most: int = COUNTED) -> Backlog:
        """See `Broker.backlog`."""
        parts = self._opened
        with self._translating():
            now = parts.clock.now() if now is None else now
            found = backlog(parts.layout, parts.storing.gates.names(queues, now, _LINES), now, most)
            return parts.storing.order.backlog(queues, now, most, found)

    def record(self, worker: str, span: int, number: int, point: Point, *, now: float | None = None) -> bool:
        """See `Broker.record`."""
        parts = self._opened
        with self._translating():
            moment = parts.clock.now()
            record_metrics(parts.layout, worker, span, number, point, moment if now is None else now, moment)
        return True

    def unpark(self, tasks: Sequence[str]) -> int:
        """See `Broker.unpark`."""
        parts = self._opened
        with self._translating():
            known = {"parked": {"$in": list(tasks)}}
            names = parts.layout.jobs.distinct("queue", known)
            count = parts.layout.jobs.update_many(known, to_its_place(), hint="parked").modified_count
            if count:
                parts.storing.gates.open(names)
                parts.storing.ring()
            return count

    def prune(self, *, now: float | None = None) -> int:
        """See `Broker.prune`."""
        parts = self._opened
        with self._translating():
            now = parts.clock.now() if now is None else now
            parts.storing.gates.prune(now)
            parts.storing.order.prune(parts.clock.now())
            prune_workflows(parts.layout, parts.storing.intents.flows, now)
            prune_batches(parts.layout, now, EVERY_BATCH, SOME_BATCHES)
            prune_metrics(parts.layout, now)
            return prune_results(parts.layout, now)

    def depth(self, queue: str) -> int:
        """See `Broker.depth`."""
        parts = self._opened
        with self._translating():
            kinds = of_queue(queue)["$or"]
            return sum(
                parts.layout.jobs.count_documents({**kind, "place": {"$gte": 0}}, hint="ready") for kind in kinds
            )

    def declare(self, limits: Mapping[str, Limit | None]) -> None:
        """See `Broker.declare`."""
        parts = self._opened
        with self._translating():
            parts.storing.order.declared(limits.values())
            if parts.storing.gates.declare(limits):
                parts.storing.ring()

    def subscribe(self, subscriptions: Sequence[Subscription]) -> None:
        """See `Broker.subscribe`."""
        parts = self._opened
        with self._translating():
            topics.subscribe(parts.layout, subscriptions)

    def unsubscribe(self, subscriptions: Sequence[Subscription]) -> int:
        """See `Broker.unsubscribe`."""
        parts = self._opened
        with self._translating():
            return topics.unsubscribe(parts.layout, subscriptions)

    def subscriptions(self) -> list[Subscription]:
        """See `Broker.subscriptions`."""
        parts = self._opened
        with self._translating():
            return topics.read(parts.layout)

    def publish(self, events: Sequence[Event], *, now: float | None = None, tx: object | None = None) -> list[int]:
        """See `Broker.publish`; `tx` is as in `enqueue`. It asks first who subscribes."""
        out = self._routing.of(self.subscriptions()).fan_out(events)
        self.enqueue(out.jobs, now=now, tx=tx)
        return out.groups

    def listen(self, listener: Listener) -> AbstractContextManager[None]:
        """See `Broker.listen`: a change stream, or a tailable cursor on a server that stands alone."""
        parts = self._opened
        return listening(parts.layout, self._url.shown, listener, replicated=parts.replicated)

    def watch_ends(self, tell: Callable[[Sequence[bytes]], None]) -> AbstractContextManager[bool]:
        """See `Broker.watch_ends`: a tailable cursor."""
        parts = self._opened
        return ends.watching(parts.layout, parts.clock, self._url.shown, tell)

    def tell_ended(self, ids: Sequence[bytes]) -> None:
        """See `Broker.tell_ended`."""
        with self._translating():
            self._opened.storing.ends.tell(ids)
