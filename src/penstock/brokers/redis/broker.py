"""The broker on Redis: all that an exchange does is one script, which the server runs whole or not at all.

Where a job stands is told by which list or set has its id: see `lua/shared/ready.lua` and `lua/shared/leases.lua`. A claim has a number that is
never given twice and a set of the ids it gave out; an ending counts where that set still has the id.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from typing import ClassVar

import msgspec

from penstock.brokers.base import (
    COUNTED,
    EVERY_BATCH,
    SOME_BATCHES,
    Backlog,
    Broker,
    Exchange,
    Feature,
    WorkerInfo,
    refuse_transaction,
)
from penstock.brokers.diagnosis import Check, Schema
from penstock.brokers.listener import Listener
from penstock.brokers.redis import doctor, ends
from penstock.brokers.redis.flows import go_on
from penstock.brokers.redis.inspector import RedisInspector
from penstock.brokers.redis.link import Link, moment
from penstock.brokers.redis.listen import listening
from penstock.brokers.redis.memos import RedisMemos
from penstock.brokers.redis.messages import Endings, encode, is_plain, new_job
from penstock.brokers.redis.record import leases, leases_of, new_tail
from penstock.brokers.redis.schedules import RedisSchedules
from penstock.brokers.redis.single import Single
from penstock.brokers.redis.standby import Order, Standby, exchange_words
from penstock.brokers.redis.topics import Topics
from penstock.brokers.redis.transfer import RedisTransfer
from penstock.brokers.redis.workflows import RedisWorkflows
from penstock.brokers.workflows import EVERY_WORKFLOW, KEPT_DONE, KEPT_FAILED, SOME_WORKFLOWS
from penstock.core import limiter
from penstock.core.clock import Steady
from penstock.core.decide import INTERRUPTED
from penstock.core.job import Holder, Lease, NewJob
from penstock.core.limiter import Limit
from penstock.core.metrics import COARSE, KEPT, Point
from penstock.core.outcome import Outcome
from penstock.core.topics import Event, Subscription
from penstock.errors import SchemaTooNew, StoreError
from penstock.stores import redis as store

#: The number of the layout of keys that this version writes.
_LAYOUT = 1
#: Lines of jobs behind a limit that `backlog` looks at.
_LINES = 100
#: Jobs that one script moves, at most: others wait while it runs, about 5 ms for so many.
_AT_ONCE = 1000
#: Seconds for which a command may still be done whose answer did not come: more than a server can be stopped for and be taken for alive.
_DOUBTFUL = 300.0
_INTERRUPTED = msgspec.msgpack.encode(INTERRUPTED)


class RedisBroker(Broker):
    """A queue in Redis: `redis://localhost:6379/0?namespace=penstock`."""

    features: ClassVar[frozenset[Feature]] = frozenset(Feature)

    def __init__(self, url: str) -> None:
        self._link = Link(store.parse(url))
        self._single = Single(self._link)
        self._topics = Topics(self._link)
        self._turn = 0
        #: Names this connection's claims, of which it heard of this one last; after an answer that was lost, some may be unheard of until then.
        self._connection = secrets.token_hex(4)
        self._heard = 0
        #: Connections of which more claims may have been made than they heard of, each with the last one that it did, and until when.
        self._doubts: dict[str, tuple[int, float]] = {}
        self._looked_at = 0.0
        self._steady = Steady()
        self._standby = Standby(self._link.url, self._doubt)
        self._holder: Holder | None = None
        #: The number of the last ring; None where an exchange took all that it could.
        self._rung: int | None = None
        #: Leases that were taken and not handed in.
        self._held = 0
        #: Did a script leave stages that are to be seen to?
        self._has_stages = False

    def open(self) -> None:
        """See `Broker.open`."""
        self._link.open()
        try:
            self.install()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """See `Broker.close`."""
        order = self._standby.close()
        if order is not None:
            with suppress(StoreError):
                self._link.run("stand_down", order.name)
        self._standby = Standby(self._link.url, self._doubt)
        self._link.close()

    def install(self) -> None:
        """See `Broker.install`: there is nothing to make but a note of the layout."""
        # A replica can be read, but not be noted anything in.
        found = int(self._link.ask("GET", "layout") or self._link.run("install", _LAYOUT))
        if found > _LAYOUT:
            raise SchemaTooNew(
                f"{self._link.url.shown}: its keys have layout {found}, and this Penstock knows {_LAYOUT}: upgrade Penstock"
            )

    def schema(self) -> Schema:
        """See `Broker.schema`."""
        link = Link(self._link.url)
        link.open()
        try:
            found = link.ask("GET", "layout")
        finally:
            link.close()
        return Schema(None if found is None else int(found), _LAYOUT)

    def diagnose(self) -> Iterable[Check]:
        """See `Broker.diagnose`."""
        return doctor.diagnose(self._link.url)

    def inspector(self) -> RedisInspector:
        """The reading side, on this broker's connection."""
        self._link.client  # noqa: B018 - a closed broker says so here
        return RedisInspector(self._link)

    def transfer(self) -> RedisTransfer:
        """See `Broker.transfer`; on this broker's connection."""
        self._link.client  # noqa: B018 - a closed broker says so here
        return RedisTransfer(self._link)

    def schedules(self) -> RedisSchedules:
        """See `Broker.schedules`; on this broker's connection."""
        self._link.client  # noqa: B018 - a closed broker says so here
        return RedisSchedules(self._link)

    def memos(self) -> RedisMemos:
        """See `Broker.memos`; on this broker's connection."""
        return RedisMemos(self._link)

    def workflows(self) -> RedisWorkflows:
        """See `Broker.workflows`; on this broker's connection."""
        self._link.client  # noqa: B018 - a closed broker says so here
        return RedisWorkflows(self._link)

    def enqueue(self, jobs: Sequence[NewJob], *, now: float | None = None, tx: object | None = None) -> list[bytes]:
        """See `Broker.enqueue`; Redis has no transaction of the user's to join."""
        refuse_transaction(tx, "redis")
        ids: list[bytes] = []
        if not jobs:
            self._link.client  # noqa: B018 - the same
            return ids
        if now is None and len(jobs) == 1 and is_plain(jobs[0]):
            (job,) = jobs
            self._single.store(job)
            return [job.id]
        if all(map(is_plain, jobs)) and len({(job.queue, job.priority) for job in jobs}) == 1:
            words: list[bytes] = []
            for job in jobs:
                words += (job.id, new_tail(job))
                ids.append(job.id)
            self._link.run("enqueue", moment(now), jobs[0].queue, jobs[0].priority, *words)
            return ids
        answer: list[bytes] = self._link.run("store", moment(now), encode([new_job(job) for job in jobs]))
        return answer

    def exchange(
        self,
        outcomes: Sequence[Outcome],
        queues: Sequence[str],
        limit: int,
        holder: Holder,
        *,
        now: float | None = None,
        tx: object | None = None,
    ) -> Exchange:
        """See `Broker.exchange`."""
        refuse_transaction(tx, "redis")
        sent = self._standby.take(still=True) if limit > 0 else []
        if sent and not outcomes:
            self._held += len(sent)
            self._rung = None
            return Exchange(sent, [])
        try:
            taken, stale = self._exchanged(outcomes, queues, limit - len(sent), holder, now)
        except BaseException:
            # It may have been done all the same, or be done yet, whether the connection was lost or a signal came.
            self._doubt(self._connection, self._heard)
            self._standby.put_back(sent)
            raise
        if taken:
            # What is sent from now on would wait for these; what was sent in the meantime is here already.
            sent += self._standby.take(still=False)
        self._held = max(0, self._held - len(outcomes)) + len(taken) + len(sent)
        return Exchange([*sent, *taken], stale)

    def _exchanged(
        self, outcomes: Sequence[Outcome], queues: Sequence[str], limit: int, holder: Holder, now: float | None
    ) -> tuple[list[Lease], list[Outcome]]:
        self._turn += 1
        endings = Endings(outcomes)
        if limit > 0 and self._doubts:
            self._give_back_unheard(holder, now)
        if self._has_stages:
            # One script at a time, between which jobs are run.
            self._has_stages = int(self._link.run("flow_go", moment(now))) > 0
        late, taken, stages, rung = self._link.run(
            "exchange_stages" if endings.are_staged else "exchange",
            *exchange_words(holder, queues, limit, self._connection, self._turn, endings, now),
        )
        if stages:
            self._has_stages = True
        self._holder = holder
        if limit > 0:
            self._rung = None if taken else int(rung)
        if not taken:
            return [], endings.stale(late)
        self._heard = int(taken[0])
        return leases(self._heard, *taken[1:]), endings.stale(late)

    def _doubt(self, connection: str, heard: int) -> None:
        """More may be claimed by a connection than it heard of, now or within a time. Safe from any thread."""
        self._doubts[connection] = heard, time.monotonic() + _DOUBTFUL

    def _give_back_unheard(self, holder: Holder, now: float | None) -> None:
        for connection, (heard, until) in list(self._doubts.items()):
            if until <= time.monotonic():
                del self._doubts[connection]
                continue
            last = max(heard, self._heard) if connection == self._connection else heard
            self._link.run("give_back", moment(now), holder.worker, holder.process, _INTERRUPTED, connection, last)

    def standby(self, queues: Sequence[str], wake: Callable[[], None]) -> bool:
        """See `Broker.standby`: where nothing runs, the server makes the next claim when there is a job."""
        if self._holder is None or self._rung is None or self._held or not self._link.is_direct:
            return False
        self._standby.begin(Order(self._holder, tuple(queues), self._rung, self._turn), wake)
        return True

    def abandon(self, holder: Holder, crashed: Sequence[bytes] = ()) -> int:
        """See `Broker.abandon`."""
        return int(self._link.run("give_back", "", holder.worker, holder.process, _INTERRUPTED, "", 0, *crashed))

    def depart(self, worker: str) -> None:
        """See `Broker.depart`."""
        self._link.run("give_back", "", worker, "", _INTERRUPTED, "", 0)

    def rescue(self, *, dead_after: float, now: float | None = None) -> int:
        """See `Broker.rescue`; `now` is on the server's clock. After a step of that nobody is rescued until all have beaten again."""
        asked = time.monotonic()
        theirs, silent = self._link.run("silent", moment(now), dead_after)
        if now is None and not self._steady.observe(float(theirs), asked):
            return 0
        return sum(int(self._link.run("give_back", "", worker, "", _INTERRUPTED, "", 0)) for worker in silent)

    def purge(self, queue: str) -> int:
        """See `Broker.purge`. What comes while it runs may stay."""
        return self.inspector().purge(queue, self.depth(queue))

    def heartbeat(self, worker: WorkerInfo, *, now: float | None = None) -> None:
        """See `Broker.heartbeat`; `now` is on the server's clock."""
        self._link.run("heartbeat", moment(now), worker.id, msgspec.msgpack.encode(worker))

    def promote(self, *, now: float | None = None, limit: int = 10_000) -> float | None:
        """See `Broker.promote`."""
        at_once = min(limit, _AT_ONCE)
        while True:
            moved, due, line, fell, is_due, looked, has_stages = self._link.run(
                "promote", moment(now), at_once, self._looked_at
            )
            self._looked_at = float(looked)
            if moved < at_once:
                break
        if has_stages:
            go_on(self._link, now)
        lines = limiter.look_again(float(line) if line else None, fell_due=bool(fell), is_due=bool(is_due))
        waits = [wait for wait in (lines, float(due) if due else None) if wait is not None]
        return min(waits, default=None)

    def held(self, holder: Holder) -> list[Lease]:
        """See `Broker.held`."""
        claims = self._link.run("held", holder.worker, holder.process)
        return [
            lease for claim, *rows in sorted(claims, key=lambda found: int(found[0])) for lease in leases_of(int(claim), *rows)
        ]  # fmt: skip

    def cancelled(self, worker: str) -> list[tuple[int, bytes]]:
        """See `Broker.cancelled`."""
        return [(process, id) for process, id in self._link.run("cancelled", worker)]

    def backlog(self, queues: Sequence[str], *, now: float | None = None, most: int = COUNTED) -> Backlog:
        """See `Broker.backlog`."""
        ready, waited = self._link.run("backlog", moment(now), most, _LINES, *queues)
        return Backlog(ready, max(0.0, float(waited))) if waited else Backlog()

    def declare(self, limits: Mapping[str, Limit | None]) -> None:
        """See `Broker.declare`."""
        words: list[str | bytes] = []
        for name, limit in limits.items():
            # The order of jobs is kept by their gates' names: what is ordered has no other limit.
            plain = limit is None or limit.ordered
            words += (name, b"" if plain or limit is None else _terms(limit))
        if words:
            self._link.run("declare", *words)

    def subscribe(self, subscriptions: Sequence[Subscription]) -> None:
        """See `Broker.subscribe`."""
        self._topics.subscribe(subscriptions)

    def unsubscribe(self, subscriptions: Sequence[Subscription]) -> int:
        """See `Broker.unsubscribe`."""
        return self._topics.unsubscribe(subscriptions)

    def subscriptions(self) -> list[Subscription]:
        """See `Broker.subscriptions`."""
        return self._topics.read()

    def publish(self, events: Sequence[Event], *, now: float | None = None, tx: object | None = None) -> list[int]:
        """See `Broker.publish`."""
        refuse_transaction(tx, "redis")
        return self._topics.publish(events, now)

    def record(self, worker: str, span: int, number: int, point: Point, *, now: float | None = None) -> bool:
        """See `Broker.record`."""
        self._link.run("record", moment(now), span, f"{number}\0{worker}", msgspec.msgpack.encode(point))
        return True

    def unpark(self, tasks: Sequence[str]) -> int:
        """See `Broker.unpark`."""
        total = 0
        self._link.client  # noqa: B018 - a closed broker says so
        for task in tasks:
            while moved := int(self._link.run("unpark", task, _AT_ONCE)):
                total += moved
        return total

    def prune(self, *, now: float | None = None) -> int:
        """See `Broker.prune`."""
        kept = SOME_WORKFLOWS, EVERY_WORKFLOW, KEPT_DONE, KEPT_FAILED
        while int(self._link.run("flow_prune", moment(now), *kept)):
            pass
        spans = [number for span, kept in KEPT.items() for number in (span, kept)]
        total = 0
        while True:
            deleted = int(self._link.run("prune", moment(now), SOME_BATCHES, EVERY_BATCH, COARSE, *spans))
            total += deleted
            if deleted < SOME_BATCHES:
                return total

    def depth(self, queue: str) -> int:
        """See `Broker.depth`."""
        return int(self._link.run("depth", queue))

    def listen(self, listener: Listener) -> AbstractContextManager[None]:
        """See `Broker.listen`: a list that a connection waits at. A plain job goes to who stands by, and rings nowhere else."""
        return listening(self._link.url, listener)

    def watch_ends(self, tell: Callable[[Sequence[bytes]], None]) -> AbstractContextManager[bool]:
        """See `Broker.watch_ends`: a list that a connection waits at."""
        return ends.watching(self._link.url, tell)

    def tell_ended(self, ids: Sequence[bytes]) -> None:
        """See `Broker.tell_ended`."""
        self._link.run("ends_tell", *ids)


def _terms(limit: Limit) -> bytes:
    together = limiter.opened_together(limit)
    return msgspec.msgpack.encode((limit.every, limit.concurrency, limit.at_once, together))
