"""Workers and processes that die."""

from __future__ import annotations

import time

import pytest

from penstock.brokers.base import Broker, WorkerInfo
from penstock.core.job import Holder
from penstock.core.outcome import Ending, Outcome
from penstock.core.states import State
from penstock.testing.contract.harness import (
    ALICE,
    BOB,
    NOW,
    QUEUE,
    ContractBase,
    beat,
    by_record,
    claim,
    claim_one,
    end,
    hand_in,
    ids,
    job,
    jobs,
    record,
    rescue_from,
    state,
)


class RescueContract(ContractBase):
    """What a dead holder held comes back unharmed; what may not run twice becomes a dead letter."""

    @by_record
    def test_only_silent_workers_lose_their_jobs(self, store: Broker) -> None:
        sent = jobs(4)
        store.enqueue(sent, now=NOW)
        beat(store, ALICE.worker, NOW)
        beat(store, BOB.worker, NOW)
        claim(store, 2)
        claim(store, 2, holder=BOB)
        assert store.rescue(dead_after=10, now=NOW + 5) == 0
        beat(store, BOB.worker, NOW + 5)
        assert store.rescue(dead_after=10, now=NOW + 11) == 2
        assert [state(store, id) for id in ids(sent)] == [State.READY] * 2 + [State.RUNNING] * 2
        assert store.rescue(dead_after=10, now=NOW + 11) == 0
        assert store.rescue(dead_after=10, now=NOW + 16) == 2

    @by_record
    def test_a_heartbeat_covers_every_process_of_the_worker(self, store: Broker) -> None:
        store.enqueue(jobs(6), now=NOW)
        beat(store, "w", NOW)
        for process in range(3):
            claim(store, 2, holder=Holder("w", process))
        beat(store, "w", NOW + 8)
        assert store.rescue(dead_after=10, now=NOW + 15) == 0
        assert store.rescue(dead_after=10, now=NOW + 19) == 6

    def test_a_clock_that_steps_where_a_worker_runs_makes_nobody_dead(
        self, store: Broker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sent = job(unique="key")
        store.enqueue([sent])
        store.heartbeat(WorkerInfo(ALICE.worker, "host", 1, "threads", 4, (QUEUE,), NOW))
        (lease,) = store.exchange((), [QUEUE], 1, ALICE).leases
        wall = time.time
        for step in (3600.0, -3600.0):
            monkeypatch.setattr(time, "time", lambda step=step: wall() + step)
            assert store.rescue(dead_after=60) == 0
        monkeypatch.undo()
        assert store.exchange([Outcome(lease)], (), 0, ALICE).stale == []

    @by_record
    def test_rescued_jobs_burn_no_attempt(self, store: Broker) -> None:
        store.enqueue(jobs(1, attempt=2), now=NOW)
        first = claim_one(store)
        assert rescue_from(store, ALICE) == 1
        second = claim_one(store, BOB)
        assert second.attempt == 2
        assert second.claim > first.claim

    @by_record
    def test_a_worker_that_comes_back_works_on(self, store: Broker) -> None:
        store.enqueue(jobs(1), now=NOW)
        lease = claim_one(store)
        rescue_from(store, ALICE)
        beat(store, ALICE.worker, NOW + 20)
        late = Outcome(lease)
        assert hand_in(store, late) == [late]
        again = claim_one(store)
        assert store.rescue(dead_after=10, now=NOW + 25) == 0
        end(store, again)

    def test_rescue_without_workers(self, store: Broker) -> None:
        assert store.rescue(dead_after=10, now=NOW) == 0

    @by_record
    def test_a_worker_that_departs_gives_back_what_it_held(self, store: Broker) -> None:
        store.enqueue(jobs(3), now=NOW)
        beat(store, "w")
        claim(store, 1, holder=Holder("w", 1))
        claim(store, 1, holder=Holder("w", 2))
        claim(store, 1, holder=BOB)
        beat(store, BOB.worker)
        store.depart("w")
        assert store.depth(QUEUE) == 2
        assert [worker.id for worker in store.inspector().workers()] == [BOB.worker]
        assert [lease.crashes for lease in claim(store)] == [0, 0]
        store.depart("nobody")

    @by_record
    def test_abandon_gives_back_one_process_only(self, store: Broker) -> None:
        store.enqueue(jobs(4), now=NOW)
        claim(store, 2, holder=Holder("w", 1))
        kept = claim(store, 1, holder=Holder("w", 2)) + claim(store, 1, holder=Holder("v", 1))
        assert store.abandon(Holder("w", 1)) == 2
        assert store.abandon(Holder("w", 1)) == 0
        assert store.depth(QUEUE) == 2
        assert [state(store, one.id) for one in kept] == [State.RUNNING] * 2

    @by_record
    def test_only_what_ran_counts_a_crash(self, store: Broker) -> None:
        ran, waited = jobs(2, attempt=1)
        store.enqueue([ran, waited], now=NOW)
        claim(store)
        assert store.abandon(ALICE, [ran.id]) == 2
        crashes = {lease.id: (lease.attempt, lease.crashes) for lease in claim(store)}
        assert crashes == {ran.id: (1, 1), waited.id: (1, 0)}
        assert store.abandon(ALICE, [ran.id]) == 2
        assert record(store, ran.id).crashes == 2

    @by_record
    def test_crashes_are_counted_for_what_was_held_only(self, store: Broker) -> None:
        mine, theirs, waiting = jobs(3)
        store.enqueue([mine, theirs, waiting], now=NOW)
        claim(store, 1)
        claim(store, 1, holder=BOB)
        assert store.abandon(ALICE, [mine.id, theirs.id, waiting.id, b"\0" * 16]) == 1
        assert [record(store, id).crashes for id in (mine.id, theirs.id, waiting.id)] == [1, 0, 0]
        assert state(store, theirs.id) is State.RUNNING

    @pytest.mark.parametrize("way", ["abandon", "rescue"])
    def test_what_may_not_run_twice_becomes_a_dead_letter(self, store: Broker, way: str) -> None:
        once, other = job(at_most_once=True), job()
        store.enqueue([once, other], now=NOW)
        claim(store)
        if way == "abandon":
            store.abandon(ALICE, [once.id])
        else:
            rescue_from(store, ALICE)
        assert ids(claim(store, holder=BOB)) == [other.id]
        stored = record(store, once.id)
        assert stored.state is State.DEAD
        assert stored.failure is not None
        assert stored.failure.message

    def test_what_may_not_run_twice_can_be_given_back_unrun(self, store: Broker) -> None:
        once = job(at_most_once=True)
        store.enqueue([once], now=NOW)
        assert store.requeue([claim_one(store)], ALICE) == []
        end(store, claim_one(store), Ending.RELEASED)
        lease = claim_one(store)
        assert lease.at_most_once
        end(store, lease)
