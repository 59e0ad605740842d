"""Reads and repairs."""

from __future__ import annotations

import pytest

from penstock.brokers.base import WorkerInfo
from penstock.brokers.inspect import QueueCounts, Selection
from penstock.core.job import Failure, NewJob
from penstock.core.outcome import Ending, Outcome
from penstock.core.states import State
from penstock.testing.contract.harness import (
    ALICE,
    BOB,
    NOW,
    QUEUE,
    ContractBase,
    Store,
    beat,
    claim,
    claim_one,
    end,
    hand_in,
    ids,
    job,
    jobs,
    new_id,
    record,
    state,
)

FAILURE = Failure("E", "message", "traceback")
ENDED = {"dead": Ending.DEAD, "cancelled": Ending.CANCELLED, "parked": Ending.PARKED, "delayed": Ending.SNOOZE}


def one_of_each(store: Store) -> dict[str, NewJob]:
    """A job in every state that a row can have, by the state's name."""
    sent = {name: job(task=f"task.{name}") for name in ("running", *ENDED, "ready")}
    store.enqueue(list(sent.values()), now=NOW)
    leases = claim(store, len(sent) - 1)
    end(store, leases[0], Ending.RELEASED)
    claim(store, 1, holder=BOB)
    for lease, ending in zip(leases[1:], ENDED.values(), strict=True):
        end(store, lease, ending, delay=60.0, failure=FAILURE)
    return sent


class InspectorContract(ContractBase):
    """The Inspector shows what is stored, and repairs it while workers run."""

    def test_every_state_is_shown(self, store: Store) -> None:
        for name, one in one_of_each(store).items():
            assert state(store, one.id) is State(name)

    def test_a_record_tells_what_was_enqueued(self, store: Store) -> None:
        sent = job(
            task="ы",
            queue="mail",
            priority=8,
            payload=b"\0\xff",
            items=3,
            packed=True,
            item=2,
            batch=new_id(),
            unique="k",
            run_at=NOW + 60,
            attempt=1,
        )
        store.enqueue([sent], now=NOW)
        stored = record(store, sent.id)
        for field in "id task queue priority payload items packed item batch unique run_at attempt".split():
            assert getattr(stored, field) == getattr(sent, field), field
        assert stored.created_at == pytest.approx(NOW, abs=60)
        assert (stored.crashes, stored.ended_at, stored.failure, stored.worker) == (0, None, None, None)

    def test_a_running_job_shows_its_worker(self, store: Store) -> None:
        sent = job()
        store.enqueue([sent], now=NOW)
        claim_one(store)
        assert record(store, sent.id).worker == ALICE.worker
        store.abandon(ALICE)
        assert record(store, sent.id).worker is None

    def test_an_ended_job_shows_when(self, store: Store) -> None:
        sent = job()
        store.enqueue([sent], now=NOW)
        lease = claim_one(store)
        assert hand_in(store, Outcome(lease, Ending.DEAD, failure=FAILURE), now=NOW + 7) == []
        stored = record(store, sent.id)
        assert stored.ended_at == pytest.approx(NOW + 7, abs=0.01)
        assert stored.worker is None

    def test_an_unknown_job(self, store: Store) -> None:
        assert store.get(new_id()) is None

    def test_jobs_are_listed_by_id_page_by_page(self, store: Store) -> None:
        sent = jobs(25)
        store.enqueue(sent[::-1], now=NOW)
        claim(store, 5)
        pages, after = [], None
        while page := store.list(Selection(), limit=10, after=after):
            pages.append(ids(page))
            after = page[-1].id
        assert [len(page) for page in pages] == [10, 10, 5]
        assert sum(pages, []) == ids(sent)
        assert len(store.list(Selection())) == 25
        assert store.list(Selection(), limit=0) == []

    def test_a_selection_narrows_by_every_field(self, store: Store) -> None:
        batch = new_id()
        sent = [
            job(),
            job(queue="b"),
            job(task="other"),
            job(batch=batch),
            job(queue="b", task="other", batch=batch, run_at=NOW + 60),
            job(queue="b", task="other", batch=batch, dead=True),
        ]
        store.enqueue(sent, now=NOW)

        def chosen(**fields: object) -> list[int]:
            found = store.list(Selection(**fields))  # type: ignore[arg-type]
            return [ids(sent).index(id) for id in ids(found)]

        assert chosen() == [0, 1, 2, 3, 4, 5]
        assert chosen(queue="b") == [1, 4, 5]
        assert chosen(task="other") == [2, 4, 5]
        assert chosen(batch=batch) == [3, 4, 5]
        assert chosen(state=State.DELAYED) == [4]
        assert chosen(state=State.READY) == [0, 1, 2, 3]
        assert chosen(state=State.DEAD) == [5]
        assert chosen(state=State.RUNNING) == []
        assert chosen(ids=(sent[5].id, sent[0].id, new_id())) == [0, 5]
        assert chosen(ids=(), state=State.READY) == []
        assert chosen(queue="b", task="other", batch=batch, state=State.DEAD) == [5]
        assert chosen(queue="none") == []

    def test_queues_are_counted_by_state(self, store: Store) -> None:
        assert list(store.count()) == []
        one_of_each(store)
        store.enqueue([*jobs(3, queue="b"), job(queue="c", run_at=NOW + 60)], now=NOW)
        counts = {one.queue: one for one in store.count()}
        assert counts == {
            QUEUE: QueueCounts(QUEUE, ready=1, running=1, delayed=1, parked=1, dead=1),
            "b": QueueCounts("b", ready=3),
            "c": QueueCounts("c", delayed=1),
        }

    def test_workers_are_listed(self, store: Store) -> None:
        assert list(store.workers()) == []
        info = WorkerInfo("wörker", "hóst", 4711, "prefork", 8, ("a", "ы"), NOW)
        store.heartbeat(info)
        store.heartbeat(info)
        store.enqueue(jobs(3), now=NOW)
        claim(store, holder=BOB)
        (shown,) = store.workers()
        for field in "id host pid pool slots queues started_at".split():
            assert getattr(shown, field) == getattr(info, field), field
        assert 0 <= shown.silent_for < 30
        assert shown.running == 0

    def test_a_worker_shows_how_much_it_runs(self, store: Store) -> None:
        beat(store, ALICE.worker)
        store.enqueue(jobs(3), now=NOW)
        leases = claim(store, 2)
        assert [worker.running for worker in store.workers()] == [2]
        end(store, leases[0])
        assert [worker.running for worker in store.workers()] == [1]

    def test_cancel_stops_what_has_not_started(self, store: Store) -> None:
        sent = one_of_each(store)
        assert store.cancel(Selection()) == 3
        after = {name: state(store, one.id) for name, one in sent.items()}
        assert after["ready"] is after["delayed"] is after["parked"] is State.CANCELLED
        assert (after["running"], after["dead"]) == (State.RUNNING, State.DEAD)
        assert store.depth(QUEUE) == 0
        assert store.promote(now=NOW + 1000) is None
        assert store.unpark(["task.parked"]) == 0
        assert claim(store, now=NOW + 1000) == []
        assert store.cancel(Selection(ids=(new_id(),))) == 0

    def test_cancel_takes_a_selection(self, store: Store) -> None:
        keep, drop = job(), job(task="drop")
        store.enqueue([keep, drop], now=NOW)
        assert store.cancel(Selection(task="drop")) == 1
        assert ids(claim(store)) == [keep.id]

    def test_retry_brings_dead_letters_back_with_all_their_attempts(self, store: Store) -> None:
        sent = job(attempt=4)
        store.enqueue([sent], now=NOW)
        claim_one(store)
        store.abandon(ALICE, [sent.id])
        first = claim_one(store)
        end(store, first, Ending.DEAD, failure=FAILURE)
        assert store.retry(Selection(ids=(sent.id,))) == 1
        second = claim_one(store)
        assert (second.attempt, second.payload) == (0, sent.payload)
        assert second.claim > first.claim
        end(store, second)

    def test_retry_takes_dead_and_cancelled_only(self, store: Store) -> None:
        sent = one_of_each(store)
        assert store.retry(Selection()) == 2
        after = {name: state(store, one.id) for name, one in sent.items()}
        assert after.pop("dead") is State.READY
        assert after.pop("cancelled") is State.READY
        assert after == {name: State(name) for name in after}
        assert store.retry(Selection()) == 0

    def test_retry_takes_a_selection(self, store: Store) -> None:
        one, other = job(dead=True), job(dead=True, queue="b")
        store.enqueue([one, other], now=NOW)
        assert store.retry(Selection(state=State.CANCELLED)) == 0
        assert store.retry(Selection(queue="b", state=State.DEAD)) == 1
        assert state(store, one.id) is State.DEAD
        assert ids(claim(store, queues=["b"])) == [other.id]

    def test_delete_leaves_what_runs(self, store: Store) -> None:
        sent = one_of_each(store)
        assert store.delete(Selection(state=State.DEAD)) == 1
        assert store.get(sent["dead"].id) is None
        assert store.delete(Selection()) == 4
        assert ids(store.list(Selection())) == [sent["running"].id]
        assert store.delete(Selection()) == 0
        (running,) = store.list(Selection())
        assert running.worker == BOB.worker
