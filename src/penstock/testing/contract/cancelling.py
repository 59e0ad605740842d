"""Cancelling jobs that run."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from penstock.brokers.base import Broker
from penstock.brokers.inspect import Selection
from penstock.core.job import Failure, Holder, NewJob
from penstock.core.outcome import AGAIN, Ending, Outcome, Step
from penstock.core.states import State
from penstock.testing.contract.harness import (
    ALICE,
    BOB,
    NOW,
    PATIENCE,
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
    new_id,
    record,
    rescue_from,
    state,
)
from penstock.testing.contract.listening import listening


def cancel(store: Broker, *sent: NewJob) -> int:
    """Cancel jobs by their ids."""
    return store.inspector().cancel(Selection(ids=tuple(ids(sent))))


class CancelContract(ContractBase):
    """A job that runs is marked, its worker can ask for the mark, and nothing lets the job run again."""

    @by_record
    def test_a_worker_learns_which_of_its_jobs_are_to_be_cancelled(self, store: Broker) -> None:
        sent = jobs(4)
        store.enqueue(sent, now=NOW)
        claim(store, 1, holder=Holder("w", 1))
        claim(store, 1, holder=Holder("w", 2))
        claim(store, 1, holder=BOB)
        assert store.cancelled("w") == []
        assert cancel(store, *sent[1:]) == 3
        assert store.cancelled("w") == [(2, sent[1].id)]
        assert store.cancelled(BOB.worker) == [(1, sent[2].id)]
        assert store.cancelled("nobody") == []
        assert [state(store, id) for id in ids(sent)] == [State.RUNNING] * 3 + [State.CANCELLED]

    @by_record
    def test_cancelling_again_asks_again(self, store: Broker) -> None:
        (sent,) = jobs(1)
        store.enqueue([sent], now=NOW)
        lease = claim_one(store)
        assert [cancel(store, sent), cancel(store, sent)] == [1, 1]
        assert store.cancelled(ALICE.worker) == [(1, sent.id)]
        end(store, lease, Ending.CANCELLED)
        assert store.cancelled(ALICE.worker) == []
        assert cancel(store, sent) == 0

    @by_record
    def test_a_selection_may_be_of_running_jobs(self, store: Broker) -> None:
        one, other, waits = job(task="a"), job(task="b"), job(task="a")
        store.enqueue([one, other, waits], now=NOW)
        claim(store, 2)
        assert store.inspector().cancel(Selection(task="a", state=State.RUNNING)) == 1
        assert store.cancelled(ALICE.worker) == [(1, one.id)]
        assert state(store, waits.id) is State.READY

    @pytest.mark.parametrize("ending", [Ending.DONE, Ending.DEAD, Ending.CANCELLED])
    def test_the_mark_dies_with_the_job(self, store: Broker, ending: Ending) -> None:
        (sent,) = jobs(1)
        store.enqueue([sent], now=NOW)
        lease = claim_one(store)
        cancel(store, sent)
        end(store, lease, ending, failure=Failure("E", "m"))
        assert store.cancelled(ALICE.worker) == []
        ended = {Ending.DONE: State.DONE, Ending.DEAD: State.DEAD, Ending.CANCELLED: State.CANCELLED}
        assert state(store, sent.id) is ended[ending]
        if ending is not Ending.DONE:
            assert store.inspector().retry(Selection(ids=(sent.id,))) == 1
            again = claim_one(store)
            assert store.cancelled(ALICE.worker) == []
            end(store, again, Ending.RELEASED)
            assert state(store, sent.id) is State.READY

    @pytest.mark.parametrize("ending", sorted(AGAIN))
    @pytest.mark.parametrize("delay", [0.0, 9.0])
    def test_what_would_run_again_is_cancelled(self, store: Broker, ending: Ending, delay: float) -> None:
        batch = new_id()
        sent, other = jobs(2, batch=batch, items=3, unique=None)
        store.enqueue([sent, other], now=NOW)
        first, second = claim(store)
        cancel(store, sent)
        steps = (Step(batch, done=1),)
        outcomes = [Outcome(one, ending, delay=delay, items=2, payload=b"rest", steps=steps) for one in (first, second)]
        assert hand_in(store, *outcomes) == []
        assert state(store, sent.id) is State.CANCELLED
        assert state(store, other.id) is not State.CANCELLED
        stored = record(store, sent.id)
        assert (stored.payload, stored.attempt) == (b"rest", 0)
        counted = store.inspector().batch(batch)
        assert counted is not None
        assert (counted.done, counted.failed) == (2, 2)
        assert hand_in(store, outcomes[0]) == [outcomes[0]]

    @by_record
    @pytest.mark.parametrize("way", ["abandon", "depart", "rescue"])
    def test_the_mark_survives_the_worker(self, store: Broker, way: str) -> None:
        batch = new_id()
        sent, once, other = job(batch=batch, unique="k"), job(at_most_once=True), job()
        store.enqueue([sent, once, other], now=NOW)
        claim(store)
        cancel(store, sent, once)
        if way == "abandon":
            store.abandon(ALICE, [sent.id])
        elif way == "depart":
            store.depart(ALICE.worker)
        else:
            rescue_from(store, ALICE)
        assert [state(store, id) for id in ids([sent, once, other])] == [State.CANCELLED, State.DEAD, State.READY]
        assert record(store, sent.id).ended_at is not None
        counted = store.inspector().batch(batch)
        assert counted is not None
        assert counted.failed == 1
        again = job(unique="k")
        assert store.enqueue([again], now=NOW) == [again.id]

    @by_record
    def test_a_stale_ending_of_a_marked_job_changes_nothing(self, store: Broker) -> None:
        (sent,) = jobs(1)
        store.enqueue([sent], now=NOW)
        old = claim_one(store)
        store.abandon(ALICE)
        claim_one(store, BOB)
        cancel(store, sent)
        late = Outcome(old, Ending.RELEASED)
        assert hand_in(store, late) == [late]
        assert store.cancelled(BOB.worker) == [(1, sent.id)]

    @by_record
    def test_cancelling_a_running_job_wakes_who_listens(self, store: Broker, open_store: Callable[..., Broker]) -> None:
        worker = open_store()
        (sent,) = jobs(1)
        worker.enqueue([sent])
        beat(worker, ALICE.worker)
        claim_one(worker)
        woken = threading.Event()
        with listening(store, woken.set):
            assert cancel(worker, sent) == 1
            assert woken.wait(PATIENCE)

    def test_the_leases_of_one_process(self, store: Broker) -> None:
        sent = jobs(5, attempt=1, payload=b"\0p", batch=new_id(), items=2)
        store.enqueue(sent, now=NOW)
        first = claim(store, 2, holder=Holder("w", 1))
        theirs = claim(store, 1, holder=Holder("w", 2))
        second = claim(store, 1, holder=Holder("w", 1))
        assert store.held(Holder("w", 1)) == [*first, *second]
        assert store.held(Holder("w", 2)) == theirs
        assert store.held(BOB) == []
        assert hand_in(store, Outcome(first[0]), holder=Holder("w", 1)) == []
        assert store.held(Holder("w", 1)) == [first[1], *second]
        store.abandon(Holder("w", 1))
        assert store.held(Holder("w", 1)) == []

    @by_record
    def test_what_is_held_can_be_ended_by_whoever_asks(self, store: Broker, open_store: Callable[..., Broker]) -> None:
        store.enqueue(jobs(2), now=NOW)
        claim(store)
        supervisor = open_store()
        leases = supervisor.held(ALICE)
        assert hand_in(supervisor, Outcome(leases[0], Ending.RETRY, delay=1.0), Outcome(leases[1])) == []
        assert store.held(ALICE) == []
        assert store.depth(QUEUE) == 0
