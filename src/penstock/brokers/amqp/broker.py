"""The broker on RabbitMQ: a plain job is a message in a quorum queue, and every other job is one of its backend's.

A job is in one of the two, never in both: what has a unique key, a batch, a limit or an order, or may not run twice, is stored, taken and ended
by the backend, in its transactions. A lease of a message is in force as long as the connection it came by; when that is lost, RabbitMQ delivers the
message again. A retry is published and confirmed before the old message is acknowledged: a crash between the two repeats the job.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from typing import ClassVar

from msgspec.structs import replace

from penstock.brokers.amqp import dead, doctor
from penstock.brokers.amqp.backed import Backed
from penstock.brokers.amqp.deliveries import Deliveries
from penstock.brokers.amqp.drawing import Drawing
from penstock.brokers.amqp.endings import Endings
from penstock.brokers.amqp.feed import Feed
from penstock.brokers.amqp.frames import Post
from penstock.brokers.amqp.fullness import Fullness
from penstock.brokers.amqp.inbox import Inbox
from penstock.brokers.amqp.inspector import AmqpInspector
from penstock.brokers.amqp.keeper import Keeper
from penstock.brokers.amqp.layout import Layout
from penstock.brokers.amqp.leaving import Leaving
from penstock.brokers.amqp.link import Link
from penstock.brokers.amqp.listen import ASKED, FRESH, listening
from penstock.brokers.amqp.memos import AmqpMemos
from penstock.brokers.amqp.message import DELIVERED, Message, is_plain, job_of, message_of
from penstock.brokers.amqp.names import Names
from penstock.brokers.amqp.running import Running
from penstock.brokers.amqp.sifting import Sifting
from penstock.brokers.amqp.taking import Taking
from penstock.brokers.amqp.transfer import AmqpTransfer
from penstock.brokers.amqp.url import parse
from penstock.brokers.amqp.wire import Ring, Wire, unroutable
from penstock.brokers.base import COUNTED, Backlog, Exchange, Feature, WorkerInfo, refuse_transaction
from penstock.brokers.diagnosis import Check, Schema
from penstock.brokers.listener import Listener
from penstock.core.job import Holder, Lease, NewJob, due_at
from penstock.core.limiter import Limit
from penstock.core.outcome import Outcome
from penstock.core.topics import Event, Routing, Subscription
from penstock.errors import StoreError, StoreFull


class AmqpBroker(Backed):
    """A queue in RabbitMQ: `amqp://localhost:5672/vhost?namespace=penstock&backend=postgresql://...`."""

    # What waits as a message can be counted and cancelled, and not listed; what runs as one is known when it has run for some seconds.
    features: ClassVar[frozenset[Feature]] = frozenset(Feature) - {Feature.INSPECT, Feature.CANCEL}
    keeps_records: ClassVar[bool] = False

    def __init__(self, url: str) -> None:
        self._url = parse(url)
        self._names = Names(self._url.namespace)
        self._layout = Layout(self._names)
        self._keeper = Keeper(self._url.backend, given=self._url.given)
        self._link = Link(self._url, self._opened, self._lost)
        self._fullness = Fullness(self._link, self._layout.forget)
        self._drawing = Drawing(self._wires, self._names, self._layout, self._keeper)
        self._sifting = Sifting(self._drawing, self._wires, self._layout, self._keeper)
        self._inbox = Inbox(self._drawing, self._wires, self._names, self._layout, self._keeper, self.enqueue)
        self._feed = Feed(self._wires, self._names, self._layout)
        self._routing = Routing()
        self._leaving = Leaving(self._drawing, self._wires, self._names, self._layout, self._keeper, self._inbox)
        self._running = Running(self._keeper, lambda: self._wires()[0].ring(Ring(self._names.bell, ASKED)))
        self._taking = Taking(
            self._wires, self._names, self._layout, self._keeper, self._drawing, self._leaving, self._inbox, self._running,
            self._publish,
        )  # fmt: skip
        #: When queues that are looked at were last seen without a message, on the monotonic clock.
        self._waiting_since: dict[tuple[str, ...], float] = {}
        #: Channels: one that messages come and go by, and one that may be closed by a question without harm.
        self._work: Wire | None = None
        self._side: Wire | None = None
        self._deliveries: Deliveries | None = None

    def open(self) -> None:
        """See `Broker.open`; the backend is opened when it is first needed."""
        self._link.open()

    def close(self) -> None:
        """See `Broker.close`. What this connection holds is delivered to others."""
        self._link.close()
        self._keeper.close()

    def install(self) -> None:
        """See `Broker.install`: queues are declared when they are first used."""
        self._keeper.open().install()

    def schema(self) -> Schema:
        """See `Broker.schema`: that of the backend, which plain jobs alone have not brought about yet."""
        found = self._keeper.unopened().schema()
        return Schema(0, found.known) if found.installed is None and doctor.was_used(self._url) else found

    def diagnose(self) -> Iterable[Check]:
        """See `Broker.diagnose`."""
        return doctor.diagnose(self._url, self._keeper.unopened())

    def ddl(self) -> str:
        """See `Broker.ddl`: that of the backend."""
        return self._keeper.unopened().ddl()

    def inspector(self) -> AmqpInspector:
        """The reading side: all that the backend has, and the numbers of messages that wait."""
        with self._link.held():
            backend = self._keeper.open().inspector()
            return AmqpInspector(backend, self._counts, self._sifting, self._running, self._link.held)

    def transfer(self) -> AmqpTransfer:
        """See `Broker.transfer`."""
        with self._link.held():
            return AmqpTransfer(self._keeper.open().transfer(), self._leaving, self._link.held)

    def memos(self) -> AmqpMemos:
        """See `Broker.memos`: in the backend."""
        return AmqpMemos(
            self._link, self._keeper, lambda claim: self._deliveries is not None and claim in self._deliveries.held
        )

    def _opened(self) -> None:
        if not self._link.was_blocked:
            # Otherwise it could not be asked for now.
            self._layout.forget()
        self._work = Wire(self._link, self._link.gave_up)
        self._side = Wire(self._link, self._forget)
        self._deliveries = Deliveries(self._link, self._names, self._work, self._layout.forget)
        self._layout.base(self._side)

    def _forget(self, _reason: object) -> None:
        # It asked for a queue that was deleted, say. What is held came by the other channel, and stays.
        self._layout.forget()

    def _lost(self) -> None:
        self._work = self._side = self._deliveries = None
        self._running.lost()

    def _wires(self) -> tuple[Wire, Wire, Deliveries]:
        if self._work is None or self._side is None or self._deliveries is None:
            raise StoreError(f"{self._url.shown}: there is no connection")
        if self._side.reason is not None:
            self._side = Wire(self._link, self._forget)
        return self._work, self._side, self._deliveries

    def enqueue(self, jobs: Sequence[NewJob], *, now: float | None = None, tx: object | None = None) -> list[bytes]:
        """See `Broker.enqueue`; RabbitMQ has no transaction of the user's to join.

        It keeps no ids: a plain job that is stored twice, because the first confirm was lost say, is there twice.
        """
        refuse_transaction(tx, "amqp")
        with self._link.held():
            names, messages = self._split(jobs, now)
            self._publish(messages)
            return [names.get(job.id, job.id) for job in jobs]

    def publish(self, events: Sequence[Event], *, now: float | None = None, tx: object | None = None) -> list[int]:
        """See `Broker.publish`. Queues that other programs have bound get each event as well, whether a group does or not."""
        refuse_transaction(tx, "amqp")
        with self._link.held():
            # Before anything is stored in the backend.
            self._fullness.check()
            out = self._routing.of(self.subscriptions()).fan_out(events)

            def store(posts: Sequence[Post]) -> set[str]:
                return self._publish(self._split(out.jobs, now)[1], posts)

            self._feed.publish(events, store)
            return out.groups

    def _split(
        self, jobs: Sequence[NewJob], now: float | None
    ) -> tuple[dict[bytes, bytes], list[tuple[Message, float]]]:
        """Store those that a message can't be, each with the id that stands for it; and the messages that the others become."""
        first: dict[bytes, NewJob] = {}
        for job in jobs:
            first.setdefault(job.id, job)
        plain = [job for job in first.values() if is_plain(job)]
        moment = time.time() if now is None else now
        messages = [(message_of(job), (due_at(job, moment) or moment) - moment) for job in plain]
        other = [job for job in jobs if not is_plain(job)]
        stored = self._keeper.open().enqueue(other, now=now) if other else []
        return dict(zip((job.id for job in other), stored, strict=True)), messages

    def _publish(self, messages: Sequence[tuple[Message, float]], beside: Sequence[Post] = ()) -> set[str]:
        """Store messages, each after so many seconds, and tell who listens of those that are ready.

        Parameters:
            beside: what is sent with them to exchanges that need not pass it on; returns the keys of what was not.
        """
        if not (messages or beside):
            return set()
        self._fullness.check()
        work, side, _ = self._wires()
        unheard: set[str] = set()
        for again in (False, True):
            self._layout.ensure(side, {message.lane for message, _ in messages})
            posts = [self._layout.post(side, message, delay) for message, delay in messages]
            returned = set(work.publish([*beside, *posts], self._ring(messages)))
            ignored = {one for one in returned if one[0] == self._names.published}
            unheard |= {key for _, key in ignored}
            returned -= ignored
            if not returned:
                break
            if again:
                raise unroutable(self._url.shown, list(returned))
            # Somebody deleted a queue since it was declared: it is declared again.
            self._layout.doubt()
            beside = ()
            messages = [
                pair for pair, post in zip(messages, posts, strict=True) if (post.exchange, post.key) in returned
            ]  # fmt: skip
        return unheard

    def _ring(self, messages: Sequence[tuple[Message, float]]) -> Ring | None:
        if all(delay > 0 for _, delay in messages):
            return None
        # Who stands by does so for the lanes that it knows.
        return Ring(self._names.bell, FRESH if self._layout.is_fresh else b"")

    def _keep(self, messages: Sequence[tuple[Message, float]]) -> None:
        """Store messages as jobs of the backend, while RabbitMQ takes none: what ends makes room, and must not wait for it."""
        self._keeper.open().enqueue([replace(job_of(message), delay=delay or None) for message, delay in messages])

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
        """See `Broker.exchange`. What is held of the backend ends there, and the rest by acknowledgements."""
        refuse_transaction(tx, "amqp")
        with self._link.held():
            before = self._taking.begin()
            try:
                return self._exchange(outcomes, queues, limit, holder, now)
            except BaseException:
                self._taking.undo(before, holder)
                raise

    def _exchange(
        self, outcomes: Sequence[Outcome], queues: Sequence[str], limit: int, holder: Holder, now: float | None
    ) -> Exchange:
        work, _, deliveries = self._wires()
        taking, full = self._taking, self._fullness.is_full()
        outcomes = self._running.marked(outcomes)
        endings = Endings(outcomes, deliveries.held)
        stale = list(endings.stale)
        if endings.elsewhere:
            stale += self._keeper.open().exchange(endings.elsewhere, (), 0, holder, now=now).stale
        if full:
            endings.write(self._keeper, self._keep, self._keeper.open().enqueue, now)
        else:
            endings.write(self._keeper, self._publish, self.enqueue, now)
        leases = taking.stood(limit, holder)
        if leases and not outcomes:
            # It waits for them, and for nothing else.
            return Exchange(leases, [])
        hurried = bool(leases)
        asked, first = (False, []) if hurried else taking.first(queues, limit, holder, now)
        leases += first
        shares = {} if hurried else taking.shares(queues, limit - len(leases), endings.ended)
        idle = limit > 0 and not leases and not endings.released
        cut_off = deliveries.plan(shares, [*endings.ended, *endings.released], idle=idle)
        deliveries.end(endings.ended)
        if endings.released:
            deliveries.give_back(endings.released)
            work.ring(Ring(self._names.bell))
        self._running.ended(outcome.lease.claim for outcome in outcomes)
        if not shares and (cut_off or endings.ended or endings.released):
            deliveries.settle()
        leases += taking.taken(shares, holder)
        if idle and not shares and endings.ended and taking.stood_on(queues):
            # What comes next comes by itself, and may have by now.
            leases += taking.stood(limit, holder)
        elif len(leases) < limit and not hurried and not (asked and leases):
            leases += taking.the_rest(queues, limit - len(leases), holder, now)
        late = set(map(id, stale))
        return Exchange(leases, [outcome for outcome in outcomes if id(outcome) in late] if stale else stale)

    def standby(self, queues: Sequence[str], wake: Callable[[], None]) -> bool:
        """See `Broker.standby`."""
        with self._link.held():
            stands = self._taking.stand_by(queues, wake)
            deliveries = self._wires()[2]
            self._link.watch(lambda: deliveries.arrived, wake)
        return stands

    def show(self, leases: Sequence[Lease], holder: Holder) -> int:
        """See `Broker.show`."""
        with self._link.held():
            held = self._wires()[2].held
            mine = [lease for lease in leases if lease.key == DELIVERED and lease.claim in held]
            self._running.show(mine, holder)
            return len(mine)

    def heartbeat(self, worker: WorkerInfo, *, now: float | None = None) -> None:
        """See `Broker.heartbeat`."""
        with self._link.held():
            self._running.beat(worker)
            self._keeper.open().heartbeat(worker, now=now)

    def held(self, holder: Holder) -> list[Lease]:
        """See `Broker.held`: of the backend's, and messages that are to be cancelled."""
        with self._link.held():
            return [*self._keeper.open().held(holder), *self._running.of(holder)]

    def cancelled(self, worker: str) -> list[tuple[int, bytes]]:
        """See `Broker.cancelled`."""
        with self._link.held():
            return [*self._keeper.open().cancelled(worker), *self._running.to_cancel()]

    def abandon(self, holder: Holder, crashed: Sequence[bytes] = ()) -> int:
        """See `Broker.abandon`: the messages of another process have gone back already, with its connection."""
        with self._link.held():
            backend = self._keeper.open()
            back = backend.abandon(holder, crashed) + self._taking.give_back(self._wires()[2].of(holder))
            inspector = backend.inspector()
            self._keeper.crashed(id for id in crashed if inspector.get(id) is None)
            return back

    def purge(self, queue: str) -> int:
        """See `Broker.purge`."""
        with self._link.held():
            return self._sifting.purge(queue) + self._keeper.open().purge(queue)

    def rescue(self, *, dead_after: float, now: float | None = None) -> int:
        """See `Broker.rescue`. What a queue gave up delivering becomes a dead letter."""
        with self._link.held():
            dead.collect(*self._wires()[:2], self._names, self._keeper)
            return self._keeper.open().rescue(dead_after=dead_after, now=now)

    def backlog(self, queues: Sequence[str], *, now: float | None = None, most: int = COUNTED) -> Backlog:
        """See `Broker.backlog`. How long a message has waited, RabbitMQ does not tell: it is for how long this connection has seen some at each look."""
        with self._link.held():
            ready = sum(self._drawing.depth(queue) for queue in queues)
            behind = self._keeper.open().backlog(queues, now=now, most=most)
            moment, places = time.monotonic(), tuple(queues)
            since = self._waiting_since.setdefault(places, moment)
            if not ready:
                self._waiting_since[places] = since = moment
            return Backlog(min(most, ready + behind.ready), max(behind.waited, moment - since))

    def declare(self, limits: Mapping[str, Limit | None]) -> None:
        """See `Broker.declare`: jobs that are limited are the backend's, and those of a limited queue become it."""
        with self._link.held():
            self._keeper.open().declare(limits)
            self._drawing.limit(limits)

    def subscribe(self, subscriptions: Sequence[Subscription]) -> None:
        """See `Broker.subscribe`: the backend knows who subscribes, and an event's jobs are stored as any others."""
        with self._link.held():
            self._keeper.open().subscribe(subscriptions)
            if subscriptions:
                self._inbox.open()

    def subscriptions(self) -> list[Subscription]:
        """See `Broker.subscriptions`."""
        with self._link.held():
            found = self._keeper.open().subscriptions()
            if found:
                # A worker asks as it starts: this may be another RabbitMQ than they were made on.
                with suppress(StoreFull):
                    self._inbox.open()
            return found

    def depth(self, queue: str) -> int:
        """See `Broker.depth`."""
        with self._link.held():
            return self._drawing.depth(queue) + self._keeper.open().depth(queue)

    def _counts(self) -> dict[str, int]:
        """How many messages wait in each queue."""
        with self._link.held():
            lanes = self._drawing.all_lanes()
            counts = Counter[str]()
            for lane, count in zip(lanes, self._wires()[1].counts(map(self._names.lane, lanes)), strict=True):
                counts[lane.queue] += count
            return counts

    def listen(self, listener: Listener) -> AbstractContextManager[None]:
        """See `Broker.listen`."""
        with self._link.held():
            return listening(self._url, self._names, self._keeper.open(), listener)
