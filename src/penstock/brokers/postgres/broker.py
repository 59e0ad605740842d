"""The PostgreSQL broker: a queue in a schema of a database, for workers on any number of machines.

A job is one row. Its claim marks it in place, and each exchange - endings in, new leases out - is one statement, one round
trip and one commit. Endings are fenced by `(id, claim)`, where the number of a claim is never given twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import ClassVar

import msgspec
from psycopg.rows import TupleRow

from penstock.brokers.base import COUNTED, EVERY_BATCH, SOME_BATCHES, Backlog, Exchange, Feature, WorkerInfo
from penstock.brokers.listener import Listener
from penstock.brokers.postgres import columns, ends
from penstock.brokers.postgres import schema as schemas
from penstock.brokers.postgres.arrays import Array
from penstock.brokers.postgres.gates import Gates, View, held_lines, terms_of
from penstock.brokers.postgres.holdings import Heads, Holdings
from penstock.brokers.postgres.joined import joined
from penstock.brokers.postgres.link import Link, Session
from penstock.brokers.postgres.listen import listening
from penstock.brokers.postgres.sides import Sides
from penstock.brokers.postgres.storing import store
from penstock.brokers.postgres.sweeps import Sweeps
from penstock.brokers.postgres.topics import Topics
from penstock.brokers.workflows import EVERY_WORKFLOW, KEPT_DONE, KEPT_FAILED, SOME_WORKFLOWS
from penstock.core import limiter
from penstock.core.clock import Steady
from penstock.core.codec import encode_failure
from penstock.core.decide import INTERRUPTED
from penstock.core.job import Holder, Lease, NewJob
from penstock.core.limiter import Limit
from penstock.core.metrics import COARSE, KEPT, Point
from penstock.core.outcome import Outcome
from penstock.core.topics import Event, Subscription
from penstock.stores import postgres

#: Lines of jobs behind a limit that `backlog` looks at.
_LINES = 100
_ORDERED = limiter.gate("", ordered=True)
_INTERRUPTED = encode_failure(INTERRUPTED)


class PostgresBroker(Sides):
    """A queue in a database: `postgresql://user:password@host:5432/database?schema=penstock`."""

    features: ClassVar[frozenset[Feature]] = frozenset(Feature)

    def __init__(self, url: str) -> None:
        self._url = postgres.parse(url, ("schema",))
        self._schema = self._url.options.get("schema", "penstock")
        self._sql = schemas.statements(self._schema)
        self._link = Link(self._url, self._sql)
        self._holdings = Holdings()
        self._heads = Heads()
        self._looks = Heads()
        self._dues = Sweeps()
        self._due_from: float | None = None
        self._gates = Gates()
        self._topics = Topics()
        self._looked_at = 0.0
        self._steady = Steady()

    def open(self) -> None:
        """See `Broker.open`."""
        if self._link.is_connected:
            return
        try:
            self._link.open()
            self.install()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """See `Broker.close`."""
        self._link.close()

    def install(self) -> None:
        """See `Broker.install`."""
        with postgres.translating(self._url.shown):
            schemas.migrate(self._link.open(), self._sql, self._url.shown)

    def enqueue(self, jobs: Sequence[NewJob], *, now: float | None = None, tx: object | None = None) -> list[bytes]:
        """See `Broker.enqueue`.

        `tx` is a `psycopg.Connection` to the same database, or an SQLAlchemy Connection or Session over one: rolled back,
        the jobs were never queued, and workers hear of them when it commits.
        """
        if tx is not None:
            session = joined(tx, self._sql)
            with postgres.translating(self._url.shown):
                return store(session, jobs, now, grow=True, always=True)
        if any(job.gate is not None for job in jobs):
            self._gates.met(jobs)
        return store(self._link, jobs, now, grow=True)

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
        """See `Broker.exchange`; `tx` is as in `enqueue`."""
        if tx is not None:
            session = joined(tx, self._sql)
            with postgres.translating(self._url.shown):
                return Exchange([], self._end(session, outcomes, now, spent=[]))
        if not outcomes and not (limit > 0 and queues):
            self._link.check_open()
            return Exchange([], [])
        try:
            exchange = self._exchange(outcomes, queues, limit if queues else 0, holder, now)
        except BaseException:
            # It may have committed all the same, whether the connection was lost or a signal came.
            if limit > 0:
                self._holdings.doubt(holder)
            raise
        self._holdings.end(outcomes)
        return exchange

    def _exchange(
        self, outcomes: Sequence[Outcome], queues: Sequence[str], limit: int, holder: Holder, now: float | None
    ) -> Exchange:
        spent = self._holdings.spent(outcomes)
        # These take another statement.
        apart = any(one.follow_ups or one.crashes is not None or one.lease.gate is not None for one in outcomes)
        if limit <= 0 and not apart:
            return Exchange([], self._end(self._link, outcomes, now, spent))
        if limit > 0 and self._gates.may_limit(self._link, time.monotonic()):
            view = self._gates.view(self._link, queues, now)
            if view.concerned or self._gates.limited(outcomes):
                given = self._exchange_limited(outcomes, queues, limit, holder, now, view)
                if given.leases or not self._gates.lost:
                    return given
                # Another had all that was chosen, and there may be more: who gets nothing takes it that there is none.
                return Exchange(self._exchange_limited((), queues, limit, holder, now, view).leases, given.stale)
        if apart:
            with self._link.transaction() as session:
                stale = self._end(session, outcomes, now, spent)
                if limit <= 0:
                    return Exchange([], stale)
                rows = session.run("take", **self._where(queues, limit, holder), at=now)
        elif outcomes:
            ordered, ruled_out = columns.in_force_at_most(outcomes)
            rows = self._link.run(
                "exchange",
                **columns.of_outcomes(ordered),
                **self._where(queues, limit, holder),
                spent=columns.claims(spent),
                at=now,
            )
            stale = columns.stale(outcomes, ordered, rows[0][0], ruled_out)
        else:
            rows, stale = self._link.run("take", **self._where(queues, limit, holder), at=now), []
        leases = self._found(rows, holder)
        if not leases and self._heads.sweep_waits(time.monotonic()):
            rows = self._link.run("sweep", **self._where(queues, limit, holder, may_wait=False), at=now)
            leases = self._found(rows, holder)
        if not leases:
            self._gates.ask_ahead(self._link, time.monotonic())
        return Exchange(leases, stale)

    def _found(self, rows: Sequence[TupleRow], holder: Holder) -> list[Lease]:
        leases = columns.leases(rows)
        self._holdings.take(holder, leases)
        self._heads.found(leases, columns.was_far(rows), time.monotonic())
        return leases

    def _exchange_limited(
        self,
        outcomes: Sequence[Outcome],
        queues: Sequence[str],
        limit: int,
        holder: Holder,
        now: float | None,
        view: View,
    ) -> Exchange:
        """As `_exchange`, where gates have to be looked at: a few statements more, in one transaction."""
        with self._link.transaction() as session:
            stale = self._end(session, outcomes, now, self._holdings.spent(outcomes), opens=False)
            late = {id(outcome) for outcome in stale}
            good = [outcome for outcome in outcomes if id(outcome) not in late]
            # For its own sake: it waits for an exchange in doubt, and gives back what that took.
            session.run("take", **self._where(queues, 0, holder), at=now)

            def take(wanted: Mapping[str, int]) -> list[Lease]:
                by = {"worker": holder.worker, "process": holder.process, "at": now}
                keyed = {name: most for name, most in wanted.items() if limiter.gate_of(name) == _ORDERED}
                found = self._take_ordered(session, keyed, by) if keyed else []
                plain = {name: most for name, most in wanted.items() if name not in keyed}
                if plain:
                    names, mosts = Array("text", list(plain)), Array("int4", list(plain.values()))
                    found += columns.leases(session.run("take_each", names=names, mosts=mosts, **by))
                return found

            found = self._gates.claim(session, view, good, self._heads.turned(queues), limit, take)
        self._holdings.take(holder, found)
        return Exchange(found, stale)

    def _take_ordered(self, session: Session, wanted: Mapping[str, int], by: Mapping[str, object]) -> list[Lease]:
        """Take jobs that keep an order, up to a number from all lines of a queue together."""
        queues = [limiter.queue_of(name) for name in wanted]
        after = Array("text", self._gates.after(queues))
        mosts = Array("int4", list(wanted.values()))
        rows = session.run("take_ordered", queues=Array("text", queues), after=after, mosts=mosts, **by)
        for _, _, lost, _, _, _, after, *_ in rows[-len(queues) :]:
            self._gates.went_on(after, lost=bool(lost))
        return columns.leases(rows)

    def _end(
        self,
        session: Session | Link,
        outcomes: Sequence[Outcome],
        now: float | None,
        spent: Sequence[int],
        *,
        opens: bool = True,
    ) -> list[Outcome]:
        """Hand in outcomes, and store the follow-ups of those that were in force; returns the others.

        Parameters:
            opens: see to the gates that these jobs have passed.
        """
        if not outcomes:
            return []
        ordered, ruled_out = columns.in_force_at_most(outcomes)
        rows = session.run("finish", **columns.of_outcomes(ordered), spent=columns.claims(spent), at=now)
        stale = columns.stale(outcomes, ordered, rows[0][0], ruled_out)
        late = {id(outcome) for outcome in stale}
        born = [job for outcome in outcomes if id(outcome) not in late for job in outcome.follow_ups]
        store(session, born, now, grow=False)
        joins = [job for job in born if job.batch is not None and not job.dead]
        if joins:
            stages = Array("uuid", [job.batch for job in joins])
            session.run("members_born", stages=stages, jobs=Array("uuid", [job.id for job in joins]))
        crashed = {o.lease.id: o.crashes for o in outcomes if o.crashes is not None and id(o) not in late}
        if crashed:
            counts = Array("int4", list(crashed.values()))
            session.run("count_crashes", ids=Array("uuid", list(crashed)), crashes=counts)
        good = [outcome for outcome in outcomes if id(outcome) not in late]
        held = held_lines(good)
        if held:
            lines, claims = zip(*held, strict=True)
            session.run("let_go", lines=Array("text", lines), claims=Array("int8", claims))
        if opens:
            self._gates.ended(session, good, now)
        return stale

    def _where(self, queues: Sequence[str], limit: int, holder: Holder, *, may_wait: bool = True) -> dict[str, object]:
        return {
            **self._heads.ahead(queues, time.monotonic(), may_wait=may_wait),
            "most": limit,
            "worker": holder.worker,
            "process": holder.process,
            "doubt": self._holdings.in_doubt(holder),
            "interrupted": _INTERRUPTED,
        }

    def abandon(self, holder: Holder, crashed: Sequence[bytes] = ()) -> int:
        """See `Broker.abandon`."""
        return self._give_back(holder.worker, holder.process, crashed)

    def _give_back(self, worker: str, process: int | None, crashed: Sequence[bytes]) -> int:
        (count,) = self._link.run(
            "give_back", worker=worker, process=process, crashed=Array("uuid", crashed), interrupted=_INTERRUPTED
        )[0]
        return int(count)

    def purge(self, queue: str) -> int:
        """See `Broker.purge`."""
        return int(self._link.run("purge", queue=queue)[0][0])

    def heartbeat(self, worker: WorkerInfo, *, now: float | None = None) -> None:
        """See `Broker.heartbeat`; `now` is on the server's clock, which `rescue` watches for steps."""
        self._link.run("beat", id=worker.id, info=msgspec.msgpack.encode(worker), at=now)

    def depart(self, worker: str) -> None:
        """See `Broker.depart`."""
        self._give_back(worker, None, ())
        self._link.run("worker_forget", id=worker)

    def rescue(self, *, dead_after: float, now: float | None = None) -> int:
        """See `Broker.rescue`; after a step of the server's clock nobody is rescued until all have beaten again."""
        if now is None:
            asked = time.monotonic()
            (theirs,) = self._link.run("clock")[0]
            if not self._steady.observe(theirs, asked):
                return 0
        return int(self._link.run("rescue", dead_after=dead_after, interrupted=_INTERRUPTED, at=now)[0][0])

    def promote(self, *, now: float | None = None, limit: int = 10_000) -> float | None:
        """See `Broker.promote`."""
        opens_in = self._open_lines(now) if self._gates.may_limit(self._link, time.monotonic()) else None
        while True:
            start = None if self._dues.begin(time.monotonic()) else self._due_from
            moved, next_in, self._due_from, far = self._link.run("promote", at=now, most=limit, start=start)[0]
            self._dues.end(time.monotonic(), was_far=far)
            if next_in is None or next_in > 0 or not moved:
                return min((float(wait) for wait in (next_in, opens_in) if wait is not None), default=None)

    def _open_lines(self, now: float | None) -> float | None:
        """Wake the workers where a limit lets more jobs start since the last look; returns in how many seconds to look again."""
        moment, next_in, fell_due, is_due = self._link.run("lines_between", since=self._looked_at, at=now)[0]
        if moment < self._looked_at:
            # The clock was set back: what was noted for later would be long in coming.
            self._link.run("lines_all_due")
            fell_due = is_due = True
        self._looked_at = float(moment)
        if fell_due:
            self._link.run("ring")
        return limiter.look_again(next_in, fell_due=fell_due, is_due=is_due)

    def declare(self, limits: Mapping[str, Limit | None]) -> None:
        """See `Broker.declare`."""
        if limits:
            self._link.run("declare", **terms_of(limits))
        self._gates.declared(limits.values())

    def held(self, holder: Holder) -> list[Lease]:
        """See `Broker.held`."""
        return columns.leases(self._link.run("held", worker=holder.worker, process=holder.process))

    def cancelled(self, worker: str) -> list[tuple[int, bytes]]:
        """See `Broker.cancelled`."""
        return [(process, id) for process, id in self._link.run("cancelled", worker=worker)]

    def backlog(self, queues: Sequence[str], *, now: float | None = None, most: int = COUNTED) -> Backlog:
        """See `Broker.backlog`."""
        if not queues:
            return Backlog()
        where = self._looks.ahead(queues, time.monotonic())
        ready, waited, lows, far = self._link.run("backlog", **where, most=most, lines=_LINES, at=now)[0]
        self._looks.went_on(lows, far, time.monotonic())
        return Backlog() if waited is None else Backlog(ready, max(0.0, waited))

    def subscribe(self, subscriptions: Sequence[Subscription]) -> None:
        """See `Broker.subscribe`."""
        self._topics.subscribe(self._link, subscriptions)

    def unsubscribe(self, subscriptions: Sequence[Subscription]) -> int:
        """See `Broker.unsubscribe`."""
        return self._topics.unsubscribe(self._link, subscriptions)

    def subscriptions(self) -> list[Subscription]:
        """See `Broker.subscriptions`."""
        return self._topics.read(self._link)

    def publish(self, events: Sequence[Event], *, now: float | None = None, tx: object | None = None) -> list[int]:
        """See `Broker.publish`; `tx` is as in `enqueue`."""
        if tx is None:
            return self._topics.publish(self._link, events, now)
        with postgres.translating(self._url.shown):
            return self._topics.publish_within(joined(tx, self._sql), events, now)

    def record(self, worker: str, span: int, number: int, point: Point, *, now: float | None = None) -> bool:
        """See `Broker.record`."""
        data = msgspec.msgpack.encode(point)
        self._link.run("record_metrics", worker=worker, span=span, number=number, point=data, at=now)
        return True

    def unpark(self, tasks: Sequence[str]) -> int:
        """See `Broker.unpark`."""
        return int(self._link.run("unpark", tasks=Array("text", tasks))[0][0])

    def prune(self, *, now: float | None = None) -> int:
        """See `Broker.prune`."""
        self._link.run(
            "prune_workflows", at=now, most=SOME_WORKFLOWS, every=EVERY_WORKFLOW, done=KEPT_DONE, failed=KEPT_FAILED
        )
        self._link.run("prune_batches", at=now, every=EVERY_BATCH, most=SOME_BATCHES)
        for span, kept in KEPT.items():
            self._link.run("prune_metrics", span=span, kept=kept, ahead=COARSE, at=now)
        return int(self._link.run("prune", at=now)[0][0])

    def depth(self, queue: str) -> int:
        """See `Broker.depth`."""
        return int(self._link.run("depth", queue=queue)[0][0])

    def listen(self, listener: Listener) -> AbstractContextManager[None]:
        """See `Broker.listen`: LISTEN, on a connection of its own."""
        return listening(self._url, self._sql, listener)

    def watch_ends(self, tell: Callable[[Sequence[bytes]], None]) -> AbstractContextManager[bool]:
        """See `Broker.watch_ends`: LISTEN, on a connection of its own."""
        return ends.watching(self._url, self._sql, tell)

    def tell_ended(self, ids: Sequence[bytes]) -> None:
        """See `Broker.tell_ended`."""
        self._link.run("ends_tell", ids=Array("uuid", ids))
