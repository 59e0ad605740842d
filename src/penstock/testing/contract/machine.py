"""A broker against the model, in random order: Hypothesis looks for the shortest way to make them differ."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from penstock.brokers import connect
from penstock.brokers.inspect import Selection
from penstock.core.job import Failure, Holder, Lease, NewJob
from penstock.core.outcome import Ending, Outcome, Step
from penstock.core.states import State
from penstock.testing.contract.harness import NOW, beat, job, new_id
from penstock.testing.contract.model import Model

QUEUES = ("a", "b")
HOLDERS = (Holder("alice", 1), Holder("alice", 2), Holder("bob", 1))
DEAD_AFTER = 30.5
MAYBE_KEY = st.sampled_from([None, None, None, "k1", "k2"])
WAITING = (State.READY, State.DELAYED, State.PARKED)

new_jobs = st.builds(
    job,
    queue=st.sampled_from(QUEUES),
    priority=st.sampled_from([0, 5, 9]),
    unique=MAYBE_KEY,
    payload=st.binary(max_size=3),
    at_most_once=st.booleans(),
    attempt=st.integers(0, 2),
    dead=st.sampled_from([False, False, False, True]),
)


class BrokerMachine(RuleBasedStateMachine):
    """Two connections to one store, three holders of two workers, and a clock that the machine turns."""

    new_url: ClassVar[Callable[[], str]]
    leases: Bundle[tuple[Lease, Holder]] = Bundle("leases")
    sent: Bundle[NewJob] = Bundle("sent")

    def __init__(self) -> None:
        super().__init__()
        url = type(self).new_url()
        self.now = NOW
        self.model = Model()
        self.batch = new_id()
        self.beats: dict[str, float] = {}
        self.claims: dict[bytes, int] = {}
        self.brokers = [connect(url), connect(url)]
        for broker in self.brokers:
            broker.open()

    def teardown(self) -> None:
        """Close both connections."""
        for broker in self.brokers:
            broker.close()

    @initialize()
    def all_workers_beat(self) -> None:
        for holder in HOLDERS:
            self._beat(holder.worker)

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

    @rule(target=sent, jobs=st.lists(new_jobs, max_size=6), delay=st.sampled_from([None, None, 5, 30]))
    def jobs_are_enqueued(self, jobs: list[NewJob], delay: int | None) -> MultipleResults[NewJob]:
        made = [
            job(
                **{name: getattr(one, name) for name in one.__struct_fields__ if name not in {"id", "run_at"}},
                run_at=None if delay is None else self.now + delay,
            )
            for one in jobs
        ]
        assert self.brokers[0].enqueue(made, now=self.now) == self.model.enqueue(made, self.now)
        return multiple(*made)

    @rule(again=sent)
    def a_stored_job_is_enqueued_again(self, again: NewJob) -> None:
        if again.id in self.model.rows:
            assert self.brokers[1].enqueue([again], now=self.now) == [again.id]

    @rule(
        target=leases,
        holder=st.sampled_from(HOLDERS),
        queues=st.sampled_from([("a",), ("b",), ("a", "b"), ("b", "a")]),
        limit=st.integers(0, 6),
    )
    def jobs_are_claimed(
        self, holder: Holder, queues: tuple[str, ...], limit: int
    ) -> MultipleResults[tuple[Lease, Holder]]:
        self._beat(holder.worker)
        broker = self.brokers[holder.process - 1]
        assert broker.promote(now=self.now) == self.model.promote(self.now)
        ready = [row for row in self.model.in_state(State.READY) if row.job.queue in queues]
        leases = broker.exchange((), queues, limit, holder, now=self.now).leases
        assert len(leases) == min(limit, len(ready))
        for queue in queues:
            assert self.model.may_choose([lease for lease in leases if lease.queue == queue], queue)
        for lease in leases:
            row = self.model.rows[lease.id]
            assert row.state is State.READY
            assert (lease.payload, lease.attempt) == (row.payload, row.attempt)
            assert lease.claim > self.claims.get(lease.id, -1)
            self.claims[lease.id] = lease.claim
        self.model.claim(leases, holder)
        return multiple(*((lease, holder) for lease in leases))

    @rule(
        given=st.lists(
            st.tuples(leases, st.sampled_from(Ending)), min_size=1, max_size=5, unique_by=lambda one: one[0]
        ),
        delay=st.sampled_from([0, 5, 50]),
        payload=st.none() | st.binary(max_size=3),
        with_follow_up=st.booleans(),
    )
    def outcomes_are_handed_in(
        self,
        given: list[tuple[tuple[Lease, Holder], Ending]],
        delay: int,
        payload: bytes | None,
        with_follow_up: bool,
    ) -> None:
        holder = given[0][0][1]
        outcomes = [
            Outcome(
                lease,
                ending,
                delay=float(delay),
                failure=Failure("E", "m"),
                payload=payload,
                follow_ups=(job(queue=lease.queue),) if with_follow_up else (),
                steps=(Step(self.batch, done=1),),
            )
            for (lease, owner), ending in given
            if owner == holder
        ]
        stale = [outcome for outcome in outcomes if not self.model.hand_in(outcome, self.now)]
        given_back = self.brokers[holder.process - 1].exchange(outcomes, (), 0, holder, now=self.now)
        assert given_back.leases == []
        assert sorted(outcome.lease.id for outcome in given_back.stale) == sorted(one.lease.id for one in stale)

    @rule(holder=st.sampled_from(HOLDERS), crashed=st.lists(sent, max_size=2))
    def a_process_is_abandoned(self, holder: Holder, crashed: list[NewJob]) -> None:
        held = [row for row in self.model.rows.values() if row.holder == holder]
        assert self.brokers[0].abandon(holder, [one.id for one in crashed]) == self.model.give_back(held)

    @rule()
    def the_silent_are_rescued_from(self) -> None:
        silent = {worker for worker, last in self.beats.items() if last + DEAD_AFTER < self.now}
        held = [row for row in self.model.rows.values() if row.holder is not None and row.holder.worker in silent]
        assert self.brokers[1].rescue(dead_after=DEAD_AFTER, now=self.now) == self.model.give_back(held)

    @rule()
    def parked_jobs_are_taken_up(self) -> None:
        parked = self.model.in_state(State.PARKED)
        assert self.brokers[0].unpark(["app.task"]) == len(parked)
        for row in parked:
            row.state, row.position = State.READY, None

    @rule(chosen=st.lists(sent, min_size=1, max_size=3))
    def jobs_are_cancelled(self, chosen: list[NewJob]) -> None:
        rows = [row for row in self.model.in_state(*WAITING) if row.job in chosen]
        selection = Selection(ids=tuple(one.id for one in chosen))
        assert self.brokers[0].inspector().cancel(selection) == len(rows)
        for row in rows:
            row.state, row.unique = State.CANCELLED, None

    @rule(chosen=sent)
    def a_job_is_brought_back(self, chosen: NewJob) -> None:
        rows = [row for row in self.model.in_state(State.DEAD, State.CANCELLED) if row.job is chosen]
        # Whether a job that comes back takes up its key again is the broker's choice: see the invariant.
        if any(row.job.unique for row in rows):
            return
        assert self.brokers[1].inspector().retry(Selection(ids=(chosen.id,))) == len(rows)
        for row in rows:
            row.state, row.attempt, row.position = State.READY, 0, None

    @rule(chosen=sent)
    def a_job_is_deleted(self, chosen: NewJob) -> None:
        row = self.model.rows.get(chosen.id)
        gone = row is not None and row.state is not State.RUNNING
        assert self.brokers[1].inspector().delete(Selection(ids=(chosen.id,))) == gone
        if gone:
            del self.model.rows[chosen.id]

    @rule(queue=st.sampled_from(QUEUES))
    def a_queue_is_purged(self, queue: str) -> None:
        rows = [row for row in self.model.in_state(State.READY, State.DELAYED) if row.job.queue == queue]
        assert self.brokers[0].purge(queue) == len(rows)
        for row in rows:
            del self.model.rows[row.job.id]

    @invariant()
    def both_know_the_same_jobs(self) -> None:
        stored = {one.id: one for one in self.brokers[1].inspector().list(Selection(), limit=1000)}
        assert stored.keys() == self.model.rows.keys()
        for id, row in self.model.rows.items():
            one = stored[id]
            due = row.state is State.DELAYED and row.run_at <= self.now
            assert one.state is row.state or (due and one.state is State.READY)
            assert (one.payload, row.job.queue) == (row.payload, one.queue)
            if row.state is not State.DEAD:
                assert one.attempt == row.attempt

    @invariant()
    def the_counters_agree(self) -> None:
        counted = self.brokers[0].inspector().batch(self.batch)
        assert (0 if counted is None else counted.done) == self.model.steps
        ready = {queue: sum(row.job.queue == queue for row in self.model.in_state(State.READY)) for queue in QUEUES}
        for queue in QUEUES:
            due = [
                row for row in self.model.in_state(State.DELAYED) if row.job.queue == queue and row.run_at <= self.now
            ]
            assert ready[queue] <= self.brokers[0].depth(queue) <= ready[queue] + len(due)


def check_machine(new_url: Callable[[], str], *, examples: int = 100, steps: int = 50) -> None:
    """Run the machine.

    Parameters:
        new_url: makes the URL of a fresh, empty store; called once for each example.
        examples: how many runs.
        steps: how many steps in each.
    """
    machine = type("Machine", (BrokerMachine,), {"new_url": staticmethod(new_url)})
    chosen = settings(max_examples=examples, stateful_step_count=steps, deadline=None, report_multiple_bugs=False)
    run_state_machine_as_test(machine, settings=chosen)
