"""Reads and repairs."""

from __future__ import annotations

import pytest

from penstock.brokers.base import Broker, WorkerInfo
from penstock.brokers.inspect import QueueCounts, Selection
from penstock.core.job import Failure, NewJob
from penstock.core.limiter import Limit, gate
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
    new_id,
    record,
    state,
)

FAILURE = Failure("E", "message", "traceback")
ENDED = {"dead": Ending.DEAD, "cancelled": Ending.CANCELLED, "parked": Ending.PARKED, "delayed": Ending.SNOOZE}


def one_of_each(store: Broker) -> dict[str, NewJob]:
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

    @by_record
    def test_every_state_is_shown(self, store: Broker) -> None:
        for name, one in one_of_each(store).items():
            assert state(store, one.id) is State(name)

    def test_a_record_tells_what_was_enqueued(self, store: Broker) -> None:
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
        # By the store's clock, or by the id's own millisecond: the harness gives every id another one.
        assert stored.created_at == pytest.approx(NOW, abs=3600)
        assert (stored.crashes, stored.ended_at, stored.failure, stored.worker) == (0, None, None, None)

    @by_record
    def test_a_running_job_shows_its_worker(self, store: Broker) -> None:
        sent = job()
        store.enqueue([sent], now=NOW)
        claim_one(store)
        assert (record(store, sent.id).worker or "").startswith(ALICE.worker)
        store.abandon(ALICE)
        assert record(store, sent.id).worker is None

    def test_an_ended_job_shows_when(self, store: Broker) -> None:
        sent = job()
        store.enqueue([sent], now=NOW)
        lease = claim_one(store)
        assert hand_in(store, Outcome(lease, Ending.DEAD, failure=FAILURE), now=NOW + 7) == []
        stored = record(store, sent.id)
        assert stored.ended_at == pytest.approx(NOW + 7, abs=0.01)
        assert stored.worker is None

    def test_an_unknown_job(self, store: Broker) -> None:
        assert store.inspector().get(new_id()) is None

    @by_record
    def test_jobs_are_listed_by_id_page_by_page(self, store: Broker) -> None:
        sent = jobs(25)
        store.enqueue(sent[::-1], now=NOW)
        claim(store, 5)
        pages, after = [], None
        while page := store.inspector().list(Selection(), limit=10, after=after):
            pages.append(ids(page))
            after = page[-1].id
        assert [len(page) for page in pages] == [10, 10, 5]
        assert [id for page in pages for id in page] == ids(sent)
        assert len(store.inspector().list(Selection())) == 25
        assert store.inspector().list(Selection(), limit=0) == []

    @by_record
    def test_a_selection_narrows_by_every_field(self, store: Broker) -> None:
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

        def chosen(selection: Selection) -> list[int]:
            return [ids(sent).index(id) for id in ids(store.inspector().list(selection))]

        assert chosen(Selection()) == [0, 1, 2, 3, 4, 5]
        assert chosen(Selection(queue="b")) == [1, 4, 5]
        assert chosen(Selection(task="other")) == [2, 4, 5]
        assert chosen(Selection(batch=batch)) == [3, 4, 5]
        assert chosen(Selection(state=State.DELAYED)) == [4]
        assert chosen(Selection(state=State.READY)) == [0, 1, 2, 3]
        assert chosen(Selection(state=State.DEAD)) == [5]
        assert chosen(Selection(state=State.RUNNING)) == []
        assert chosen(Selection(ids=(sent[5].id, sent[0].id, new_id()))) == [0, 5]
        assert chosen(Selection(ids=(), state=State.READY)) == []
        assert chosen(Selection(queue="b", task="other", batch=batch, state=State.DEAD)) == [5]
        assert chosen(Selection(queue="none")) == []

    @by_record
    def test_queues_are_counted_by_state(self, store: Broker) -> None:
        assert list(store.inspector().count()) == []
        one_of_each(store)
        store.enqueue([*jobs(3, queue="b"), job(queue="c", run_at=NOW + 60)], now=NOW)
        counts = {one.queue: one for one in store.inspector().count()}
        assert counts == {
            QUEUE: QueueCounts(QUEUE, ready=1, running=1, delayed=1, parked=1, dead=1),
            "b": QueueCounts("b", ready=3),
            "c": QueueCounts("c", delayed=1),
        }

    @by_record
    def test_a_short_queue_beside_a_long_one_is_counted_and_the_long_one_may_be_estimated(self, store: Broker) -> None:
        store.enqueue([*jobs(150), *jobs(3, queue="b"), *jobs(40, run_at=NOW + 60)], now=NOW)
        store.enqueue([job(queue="c"), job(queue="c", run_at=NOW + 60)], now=NOW)
        claim(store, 2)
        exact = {one.queue: one for one in store.inspector().count()}
        assert not any(one.about for one in exact.values())
        found = {one.queue: one for one in store.inspector().count(most=20)}
        assert found["b"] == exact["b"]
        assert (found["c"].ready, found[QUEUE].running) == (1, 2)
        for field in ("ready", "delayed"):
            true, said = getattr(exact[QUEUE], field), getattr(found[QUEUE], field)
            assert said == true or (field in found[QUEUE].about and 0.7 * true <= said <= 1.4 * true)

    @by_record
    def test_many_keys_beside_a_long_queue_are_counted_with_theirs(self, store: Broker) -> None:
        store.declare({"app.task": Limit(ordered=True)})
        keyed = (job(queue="b", gate=gate("app.task", f"k{n % 15}", ordered=True)) for n in range(45))
        store.enqueue([*jobs(60), *keyed], now=NOW)
        counts = {one.queue: one for one in store.inspector().count(most=20)}
        assert sorted(counts) == ["b", QUEUE]
        for queue, true in ((QUEUE, 60), ("b", 45)):
            assert 0.7 * true <= counts[queue].ready <= 1.4 * true

    def test_workers_are_listed(self, store: Broker) -> None:
        assert list(store.inspector().workers()) == []
        info = WorkerInfo("wörker", "hóst", 4711, "prefork", 8, ("a", "ы"), NOW)
        store.heartbeat(info)
        store.heartbeat(info)
        store.enqueue(jobs(3), now=NOW)
        claim(store, holder=BOB)
        (shown,) = store.inspector().workers()
        for field in "id host pid pool slots queues started_at".split():
            assert getattr(shown, field) == getattr(info, field), field
        assert 0 <= shown.silent_for < 30
        assert shown.running == 0

    @by_record
    def test_a_worker_shows_how_much_it_runs(self, store: Broker) -> None:
        beat(store, ALICE.worker)
        store.enqueue(jobs(3), now=NOW)
        leases = claim(store, 2)
        assert [worker.running for worker in store.inspector().workers()] == [2]
        end(store, leases[0])
        assert [worker.running for worker in store.inspector().workers()] == [1]

    @by_record
    def test_cancel_stops_what_has_not_started(self, store: Broker) -> None:
        sent = one_of_each(store)
        assert store.inspector().cancel(Selection()) == 4
        after = {name: state(store, one.id) for name, one in sent.items()}
        assert after["ready"] is after["delayed"] is after["parked"] is State.CANCELLED
        assert (after["running"], after["dead"]) == (State.RUNNING, State.DEAD)
        assert store.depth(QUEUE) == 0
        assert store.promote(now=NOW + 1000) is None
        assert store.unpark(["task.parked"]) == 0
        assert claim(store, now=NOW + 1000) == []
        assert store.inspector().cancel(Selection(ids=(new_id(),))) == 0

    def test_cancel_takes_a_selection(self, store: Broker) -> None:
        keep, drop = job(), job(task="drop")
        store.enqueue([keep, drop], now=NOW)
        assert store.inspector().cancel(Selection(task="drop")) == 1
        assert ids(claim(store)) == [keep.id]

    @by_record
    def test_retry_brings_dead_letters_back_with_all_their_attempts(self, store: Broker) -> None:
        sent = job(attempt=4)
        store.enqueue([sent], now=NOW)
        claim_one(store)
        store.abandon(ALICE, [sent.id])
        first = claim_one(store)
        end(store, first, Ending.DEAD, failure=FAILURE)
        assert store.inspector().retry(Selection(ids=(sent.id,))) == 1
        second = claim_one(store)
        assert (second.attempt, second.payload) == (0, sent.payload)
        assert second.claim > first.claim
        end(store, second)

    @by_record
    def test_retry_takes_dead_and_cancelled_only(self, store: Broker) -> None:
        sent = one_of_each(store)
        assert store.inspector().retry(Selection()) == 2
        after = {name: state(store, one.id) for name, one in sent.items()}
        assert after.pop("dead") is State.READY
        assert after.pop("cancelled") is State.READY
        assert after == {name: State(name) for name in after}
        assert store.inspector().retry(Selection()) == 0

    def test_retry_takes_a_selection(self, store: Broker) -> None:
        one, other = job(dead=True), job(dead=True, queue="b")
        store.enqueue([one, other], now=NOW)
        assert store.inspector().retry(Selection(state=State.CANCELLED)) == 0
        assert store.inspector().retry(Selection(queue="b", state=State.DEAD)) == 1
        assert state(store, one.id) is State.DEAD
        assert ids(claim(store, queues=["b"])) == [other.id]

    @by_record
    def test_delete_leaves_what_runs(self, store: Broker) -> None:
        sent = one_of_each(store)
        assert store.inspector().delete(Selection(state=State.DEAD)) == 1
        assert store.inspector().get(sent["dead"].id) is None
        assert store.inspector().delete(Selection()) == 4
        assert ids(store.inspector().list(Selection())) == [sent["running"].id]
        assert store.inspector().delete(Selection()) == 0
        (running,) = store.inspector().list(Selection())
        assert (running.worker or "").startswith(BOB.worker)
