"""Jobs on their way in."""

from __future__ import annotations

import pytest

from penstock.brokers.base import Broker
from penstock.core.job import Failure, NewJob
from penstock.core.outcome import Ending, Outcome
from penstock.core.states import State
from penstock.errors import PenstockError
from penstock.testing.contract.harness import (
    NOW,
    QUEUE,
    ContractBase,
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


class EnqueueContract(ContractBase):
    """Enqueue stores all or nothing, each id once, and gives back what it was given."""

    def test_a_job_is_claimed_as_it_was_enqueued(self, store: Broker) -> None:
        sent = job(
            task="shop.send",
            payload=b"\x00\xff binary",
            queue="mail",
            priority=7,
            options=b"\x81\xa1a\x01",
            batch=new_id(),
            items=12,
            packed=True,
            item=3,
            at_most_once=True,
            attempt=2,
        )
        assert store.enqueue([sent], now=NOW) == [sent.id]
        (lease,) = claim(store, queues=["mail"])
        for field in "id task payload queue priority options batch items packed item at_most_once attempt".split():
            assert getattr(lease, field) == getattr(sent, field), field
        assert lease.crashes == 0

    def test_plain_values_are_the_defaults(self, store: Broker) -> None:
        sent = NewJob(id=new_id(), task="t", payload=b"p")
        store.enqueue([sent])
        lease = claim_one(store)
        assert (lease.queue, lease.priority, lease.attempt, lease.items) == ("default", 5, 0, 1)
        assert (lease.options, lease.batch, lease.item) == (None, None, None)
        assert (lease.packed, lease.at_most_once) == (False, False)

    def test_ids_come_back_in_the_order_given(self, store: Broker) -> None:
        sent = jobs(50)
        assert store.enqueue(sent, now=NOW) == ids(sent)
        assert store.depth(QUEUE) == 50

    def test_nothing_to_enqueue(self, store: Broker) -> None:
        assert store.enqueue([], now=NOW) == []
        assert claim(store) == []

    def test_ten_thousand_at_once(self, store: Broker) -> None:
        sent = jobs(10_000)
        assert store.enqueue(sent, now=NOW) == ids(sent)
        assert store.depth(QUEUE) == 10_000
        assert ids(claim(store, 10_000)) == ids(sent)

    @pytest.mark.parametrize("wrong", [None, job(task="\ud800")], ids=["no job", "lone surrogate"])
    def test_one_bad_job_keeps_the_whole_batch_out(self, store: Broker, wrong: NewJob) -> None:
        with pytest.raises((PenstockError, TypeError, AttributeError, ValueError)):
            store.enqueue([job(), job(), wrong, job()], now=NOW)
        assert claim(store) == []
        good = job()
        store.enqueue([good], now=NOW)
        assert ids(claim(store)) == [good.id]

    @by_record
    def test_an_id_enqueued_again_is_left_as_it_is(self, store: Broker) -> None:
        first = job(payload=b"first")
        again = job(id=first.id, payload=b"second", queue="other", priority=9)
        other = job()
        store.enqueue([first], now=NOW)
        assert store.enqueue([again, other], now=NOW) == [first.id, other.id]
        assert [lease.payload for lease in claim(store, queues=[QUEUE, "other"])] == [b"first", b"payload"]

    def test_an_id_twice_in_one_batch_is_stored_once(self, store: Broker) -> None:
        first = job(payload=b"first")
        twin = job(id=first.id, payload=b"second")
        assert store.enqueue([first, twin], now=NOW) == [first.id, first.id]
        assert claim_one(store).payload == b"first"

    @by_record
    def test_an_id_enqueued_again_while_it_runs_does_not_run_twice(self, store: Broker) -> None:
        sent = job()
        store.enqueue([sent], now=NOW)
        lease = claim_one(store)
        assert store.enqueue([sent], now=NOW) == [sent.id]
        assert claim(store) == []
        assert state(store, sent.id) is State.RUNNING
        end(store, lease)
        assert claim(store) == []

    @by_record
    @pytest.mark.parametrize("ending", [Ending.DEAD, Ending.CANCELLED, Ending.PARKED, Ending.SNOOZE])
    def test_an_id_enqueued_again_while_it_is_kept_changes_nothing(self, store: Broker, ending: Ending) -> None:
        sent = job()
        store.enqueue([sent], now=NOW)
        end(store, claim_one(store), ending, delay=60.0, failure=Failure("E", "m"))
        before = store.inspector().get(sent.id)
        assert store.enqueue([sent], now=NOW) == [sent.id]
        assert store.inspector().get(sent.id) == before
        assert claim(store) == []

    def test_a_job_may_be_born_dead(self, store: Broker) -> None:
        sent = job(dead=True, failure=Failure("ValueError", "no", "Traceback ..."), attempt=3, item=17)
        store.enqueue([sent], now=NOW)
        assert claim(store) == []
        stored = record(store, sent.id)
        assert (stored.state, stored.failure, stored.attempt, stored.item) == (State.DEAD, sent.failure, 3, 17)

    @pytest.mark.parametrize("text", ["почта/📦", "a b\tc\n", "quote'\"\\%_", "é" * 200, "{}[]*:#"])
    def test_names_may_be_any_text(self, store: Broker, text: str) -> None:
        sent = job(task=text, queue=text, unique=text)
        store.enqueue([sent], now=NOW)
        assert claim(store, queues=["почта/📪"]) == []
        assert store.depth(text) == 1
        (lease,) = claim(store, queues=[text])
        assert (lease.task, lease.queue) == (text, text)
        assert record(store, sent.id).unique == text

    @pytest.mark.parametrize("size", [0, 1, 1 << 16, 5_000_000])
    def test_payloads_of_any_size(self, store: Broker, size: int) -> None:
        payload = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
        store.enqueue([job(payload=payload)], now=NOW)
        lease = claim_one(store)
        assert lease.payload == payload
        assert hand_in(store, Outcome(lease, Ending.RELEASED, payload=payload[::-1])) == []
        assert claim_one(store).payload == payload[::-1]
