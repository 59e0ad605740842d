"""A broker against the model, in random order: Hypothesis looks for the shortest way to make them differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple, TypeVar

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from penstock.brokers import connect
from penstock.brokers.base import Broker
from penstock.brokers.inspect import Selection
from penstock.core.job import Failure, Holder, Lease, NewJob
from penstock.core.limiter import Limit
from penstock.core.outcome import Ending, Outcome, Step
from penstock.core.states import State
from penstock.core.topics import Event, Router, Subscription
from penstock.testing.contract.harness import NOW, beat, job, new_id
from penstock.testing.contract.model import Model
from penstock.testing.contract.model_workflows import Flows

T = TypeVar("T")

QUEUES = ("a", "b")
#: Of tasks without limits: their jobs wait in lines of their own, and pass at once.
GATES = ("t", "t,1")
#: Some that fit the same topics, two of them of one handler.
SUBSCRIPTIONS = (
    Subscription("a", "app.task", "orders.*", "a"),
    Subscription("a", "app.task", "#.filled", "a"),
    Subscription("b", "app.task", "#", "b", priority=9, at_most_once=True),
)
TOPICS = ("orders", "orders.filled", "orders.sent")
HOLDERS = (Holder("alice", 1), Holder("alice", 2), Holder("bob", 1))
DEAD_AFTER = 30.5
MAYBE_KEY = st.sampled_from([None, None, None, "k1", "k2"])
WAITING = (State.READY, State.DELAYED, State.PARKED, State.WAITING)

new_jobs = st.builds(
    job,
    queue=st.sampled_from(QUEUES),
    priority=st.sampled_from([0, 5, 9]),
    unique=MAYBE_KEY,
    payload=st.binary(max_size=3),
    at_most_once=st.booleans(),
    attempt=st.integers(0, 2),
    gate=st.sampled_from([None, None, *GATES]),
    dead=st.sampled_from([False, False, False, True]),
)


#: How many back in a list of what came before; see `latest`.
PICK = st.integers(0, 12)
SOMETHING_SENT = precondition(lambda machine: machine.sent)


def latest(many: Sequence[T], pick: int) -> T:
    """The one so many back, beginning at the end again where there are too few."""
    return many[-1 - pick % len(many)]


class Work(NamedTuple):
    """What a holder does in one go. Hand-ins and claims are one: Hypothesis switches rules off, and leases need both."""

    picks: dict[int, Ending]
    delay: float
    payload: bytes | None
    with_follow_up: bool
    queues: tuple[str, ...]
    limit: int


WORK = st.builds(
    Work,
    picks=st.dictionaries(PICK, st.sampled_from([*[Ending.DONE] * 5, *Ending]), max_size=5),
    delay=st.sampled_from([0.0, 5.0, 50.0]),
    payload=st.none() | st.binary(max_size=3),
    with_follow_up=st.booleans(),
    queues=st.sampled_from([("a", "b"), ("b", "a"), ("a",)]),
    limit=st.integers(0, 8),
)


class BrokerMachine(RuleBasedStateMachine):
    """Two connections to one store, three holders of two workers, and a clock that the machine turns."""

    new_url: ClassVar[Callable[[], str]]

    def __init__(self) -> None:
        super().__init__()
        url = type(self).new_url()
        self.now = NOW
        self.model = Model()
        self.flows = Flows(self.model)
        self.batch = new_id()
        self.sent: list[NewJob] = []
        self.subscribed: dict[tuple[str, str, str], Subscription] = {}
        self.leases: list[tuple[Lease, Holder]] = []
        self.beats: dict[str, float] = {}
        self.claims: dict[bytes, int] = {}
        self.brokers = [connect(url), connect(url)]
        for broker in self.brokers:
            broker.open()

    def teardown(self) -> None:
        """Close both connections."""
        for broker in self.brokers:
            broker.close()

    @property
    def _gate(self) -> str | None:
        """A gate for jobs that would have none: where those are messages, the model is compared with all others."""
        return None if self.brokers[0].keeps_records else GATES[0]

    @initialize(jobs=st.lists(new_jobs, min_size=2, max_size=8))
    def all_workers_beat_and_there_is_work(self, jobs: list[NewJob]) -> None:
        # A connection learns within a second that something is limited, or at once by what it declares itself.
        for broker in self.brokers:
            broker.declare({"another task": Limit(concurrency=1)})
        for holder in HOLDERS:
            self._beat(holder.worker)
        self.somebody_subscribes(SUBSCRIPTIONS[0])
        self.jobs_are_enqueued(jobs, None)

    def _beat(self, worker: str) -> None:
        beat(self.brokers[0], worker, self.now)
        self.beats[worker] = self.now

    @rule(seconds=st.integers(1, 40))
    def time_goes_by(self, seconds: int) -> None:
        self.now += seconds

    @rule(worker=st.sampled_from(["alice", "bob"]))
    def a_worker_beats(self, worker: str) -> None:
        self._beat(worker)

    @rule(which=st.integers(0, 1))
    def a_connection_is_opened_anew(self, which: int) -> None:
        self.brokers[which].close()
        self.brokers[which].open()

    @rule(jobs=st.lists(new_jobs, min_size=1, max_size=6), delay=st.sampled_from([None, None, 5, 30]))
    def jobs_are_enqueued(self, jobs: list[NewJob], delay: int | None) -> None:
        made = [
            job(
                **{name: getattr(one, name) for name in one.__struct_fields__ if name not in {"id", "run_at", "gate"}},
                gate=one.gate or self._gate,
                run_at=None if delay is None else self.now + delay,
            )
            for one in jobs
        ]
        assert self.brokers[0].enqueue(made, now=self.now) == self.model.enqueue(made, self.now)
        self.sent += made

    @rule(one=st.sampled_from(SUBSCRIPTIONS))
    def somebody_subscribes(self, one: Subscription) -> None:
        self.brokers[1].subscribe([one])
        self.subscribed[one.key] = one

    @rule(one=st.sampled_from(SUBSCRIPTIONS))
    def somebody_unsubscribes(self, one: Subscription) -> None:
        assert self.brokers[0].unsubscribe([one]) == (self.subscribed.pop(one.key, None) is not None)

    @rule(topics=st.lists(st.sampled_from(TOPICS), min_size=1, max_size=3), which=st.integers(0, 1))
    def events_are_published(self, topics: list[str], which: int) -> None:
        if self._gate is not None:
            return
        events = [Event(new_id(), topic, b"") for topic in topics]
        out = Router(list(self.subscribed.values())).fan_out(events)
        assert self.brokers[which].publish(events, now=self.now) == out.groups
        self.model.enqueue(out.jobs, self.now)
        self.sent += out.jobs

    @SOMETHING_SENT
    @rule(pick=PICK)
    def a_stored_job_is_enqueued_again(self, pick: int) -> None:
        again = latest(self.sent, pick)
        if again.id in self.model.rows:
            assert self.brokers[1].enqueue([again], now=self.now) == [again.id]

    @rule(how=WORK)
    def alice_works(self, how: Work) -> None:
        self._work(HOLDERS[0], how)

    @rule(how=WORK)
    def alices_other_process_works(self, how: Work) -> None:
        self._work(HOLDERS[1], how)

    @rule(how=WORK)
    def bob_works(self, how: Work) -> None:
        self._work(HOLDERS[2], how)

    def _work(self, holder: Holder, how: Work) -> None:
        self._beat(holder.worker)
        broker = self.brokers[holder.process - 1]
        self._promote(broker)
        held = [lease for lease, owner in self.leases if owner == holder]
        outcomes = [
            self._outcome(lease, ending, how)
            for lease, ending in {latest(held, pick): ending for pick, ending in how.picks.items() if held}.items()
        ]
        late = [outcome.lease.id for outcome in outcomes if not self._hand_in(outcome)]
        self.flows.settle()
        # Whether an exchange gives out what its own outcomes have just made ready, the contract leaves open.
        if how.with_follow_up or not how.delay:
            given = broker.exchange(outcomes, (), 0, holder, now=self.now)
            assert given.leases == []
            self._promote(broker)
            leases = broker.exchange((), how.queues, how.limit, holder, now=self.now).leases
        else:
            given = broker.exchange(outcomes, how.queues, how.limit, holder, now=self.now)
            leases = given.leases
        assert sorted(outcome.lease.id for outcome in given.stale) == sorted(late)
        self._check_leases(leases, how.queues, how.limit)
        self.model.claim(leases, holder)
        self.leases += [(lease, holder) for lease in leases]

    def _outcome(self, lease: Lease, ending: Ending, how: Work) -> Outcome:
        stage = self.flows.of(lease.batch)
        follow_ups = (job(queue=lease.queue, batch=lease.batch, gate=self._gate if stage is None else None),)
        steps = [Step(self.batch, done=1)]
        if stage is not None:
            failed = ending in (Ending.DEAD, Ending.CANCELLED)
            steps.append(Step(stage.made.id, int(ending is Ending.DONE), int(failed), total=int(how.with_follow_up)))
        passes = stage is not None and stage.passes and ending is Ending.DONE
        return Outcome(
            lease,
            ending,
            delay=how.delay,
            result=msgspec.msgpack.encode(lease.id) if passes else None,
            failure=Failure("E", "m"),
            payload=how.payload if stage is None else None,
            follow_ups=follow_ups if how.with_follow_up else (),
            steps=tuple(steps),
            passes=passes,
        )

    def _hand_in(self, outcome: Outcome) -> bool:
        if not self.model.hand_in(outcome, self.now):
            return False
        stage = self.flows.of(outcome.lease.batch)
        if stage is not None:
            stage.jobs += [one.id for one in outcome.follow_ups]
            if outcome.ending is Ending.DONE:
                stage.done[outcome.lease.id] = outcome.lease.id
        return True

    def _promote(self, broker: Broker) -> None:
        told, due = broker.promote(now=self.now), self.model.promote(self.now)
        # Where there are lines, it may ask to be called again sooner.
        limited = any(one.gate is not None for one in self.sent)
        assert told == due or (limited and told is not None and (due is None or told < due))

    def _check_leases(self, leases: list[Lease], queues: tuple[str, ...], limit: int) -> None:
        ready = [row for row in self.model.in_state(State.READY) if row.job.queue in queues]
        assert len(leases) == min(limit, len(ready))
        for queue in queues:
            for gate in (None, *GATES):
                chosen = [lease for lease in leases if (lease.queue, lease.gate) == (queue, gate)]
                assert self.model.may_choose(chosen, queue, gate)
        for lease in leases:
            row = self.model.rows[lease.id]
            assert row.state is State.READY
            assert row.carries(lease.payload)
            assert lease.attempt == row.attempt
            assert lease.claim > self.claims.get(lease.id, -1)
            self.claims[lease.id] = lease.claim

    @rule(holder=st.sampled_from(HOLDERS), crashed=st.lists(PICK, max_size=2))
    def a_process_is_abandoned(self, holder: Holder, crashed: list[int]) -> None:
        held = [row for row in self.model.rows.values() if row.holder == holder]
        assert self.brokers[0].abandon(
            holder, [latest(self.sent, pick).id for pick in crashed if self.sent]
        ) == self.model.give_back(held)
        self.flows.settle()

    @rule()
    def the_silent_are_rescued_from(self) -> None:
        silent = {worker for worker, last in self.beats.items() if last + DEAD_AFTER < self.now}
        held = [row for row in self.model.rows.values() if row.holder is not None and row.holder.worker in silent]
        assert self.brokers[1].rescue(dead_after=DEAD_AFTER, now=self.now) == self.model.give_back(held)
        self.flows.settle()

    @rule()
    def parked_jobs_are_taken_up(self) -> None:
        parked = self.model.in_state(State.PARKED)
        assert self.brokers[0].unpark(["app.task"]) == len(parked)
        for row in parked:
            row.state, row.position = State.READY, None

    @SOMETHING_SENT
    @rule(picks=st.lists(PICK, min_size=1, max_size=3))
    def jobs_are_cancelled(self, picks: list[int]) -> None:
        chosen = [latest(self.sent, pick) for pick in picks]
        rows = [row for row in self.model.in_state(*WAITING) if row.job in chosen]
        running = [row for row in self.model.in_state(State.RUNNING) if row.job in chosen]
        selection = Selection(ids=tuple(one.id for one in chosen))
        assert self.brokers[0].inspector().cancel(selection) == len(rows) + len(running)
        self.model.cancel([*rows, *running])
        self.flows.settle()

    @SOMETHING_SENT
    @rule(pick=PICK)
    def a_job_is_brought_back(self, pick: int) -> None:
        chosen = latest(self.sent, pick)
        rows = [row for row in self.model.in_state(State.DEAD, State.CANCELLED) if row.job is chosen]
        # Whether a job that comes back takes up its key again is the broker's choice: see the invariant.
        if any(row.job.unique for row in rows):
            return
        assert self.brokers[1].inspector().retry(Selection(ids=(chosen.id,))) == self.flows.bring_back(rows)
        self.flows.settle()

    @SOMETHING_SENT
    @rule(pick=PICK)
    def a_job_is_deleted(self, pick: int) -> None:
        chosen = latest(self.sent, pick)
        row = self.model.rows.get(chosen.id)
        gone = row is not None and row.state is not State.RUNNING
        assert self.brokers[1].inspector().delete(Selection(ids=(chosen.id,))) == gone
        if gone:
            del self.model.rows[chosen.id]
        self.flows.settle()

    @rule(queue=st.sampled_from(QUEUES))
    def a_queue_is_purged(self, queue: str) -> None:
        rows = [row for row in self.model.in_state(State.READY, State.DELAYED) if row.job.queue == queue]
        assert self.brokers[0].purge(queue) == len(rows)
        for row in rows:
            del self.model.rows[row.job.id]
        self.flows.settle()

    @invariant()
    def both_know_the_same_jobs(self) -> None:
        stored = {one.id: one for one in self.brokers[1].inspector().list(Selection(), limit=1000)}
        assert stored.keys() == self.model.rows.keys()
        for id, row in self.model.rows.items():
            one = stored[id]
            due = row.state is State.DELAYED and row.run_at <= self.now
            assert one.state is row.state or (due and one.state is State.READY)
            assert row.carries(one.payload)
            assert one.queue == row.job.queue
            if row.state is not State.DEAD:
                assert one.attempt == row.attempt

    @invariant()
    def the_counters_agree(self) -> None:
        counted = self.brokers[0].inspector().batch(self.batch)
        assert (0 if counted is None else counted.done) == self.model.steps[self.batch]
        ready = {queue: sum(row.job.queue == queue for row in self.model.in_state(State.READY)) for queue in QUEUES}
        for queue in QUEUES:
            due = [
                row for row in self.model.in_state(State.DELAYED) if row.job.queue == queue and row.run_at <= self.now
            ]
            assert ready[queue] <= self.brokers[0].depth(queue) <= ready[queue] + len(due)
