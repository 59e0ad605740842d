"""Jobs for later."""

from __future__ import annotations

import pytest

from penstock.brokers.base import Broker
from penstock.core.states import State
from penstock.testing.contract.harness import NOW, QUEUE, ContractBase, by_record, claim, ids, job, jobs, record, state


class DelayContract(ContractBase):
    """A delayed job becomes ready by the first promotion at or after its time."""

    @by_record
    def test_a_delayed_job_waits_for_its_time(self, store: Broker) -> None:
        sent = job(run_at=NOW + 60)
        store.enqueue([sent], now=NOW)
        stored = record(store, sent.id)
        assert stored.state is State.DELAYED
        assert stored.run_at == pytest.approx(NOW + 60, abs=0.01)
        assert store.depth(QUEUE) == 0
        assert claim(store, now=NOW + 59) == []
        store.promote(now=NOW + 59)
        assert claim(store, now=NOW + 59) == []
        store.promote(now=NOW + 60)
        assert ids(claim(store, now=NOW + 60)) == [sent.id]
        # It was made ready once, and is not again while it runs.
        assert store.promote(now=NOW + 61) is None
        assert claim(store, now=NOW + 61) == []

    @by_record
    def test_a_delay_counts_from_when_the_store_takes_the_job_in(self, store: Broker) -> None:
        sent, at_once, both = job(delay=30), job(delay=0.0), job(delay=30, run_at=NOW + 90)
        store.enqueue([sent, at_once, both], now=NOW)
        assert record(store, sent.id).run_at == pytest.approx(NOW + 30, abs=0.01)
        assert record(store, both.id).run_at == pytest.approx(NOW + 90, abs=0.01)
        assert ids(claim(store)) == [at_once.id]
        assert store.promote(now=NOW + 29) == pytest.approx(1, abs=0.01)
        store.promote(now=NOW + 30)
        assert ids(claim(store, now=NOW + 30)) == [sent.id]

    @by_record
    def test_promote_says_when_the_next_is_due(self, store: Broker) -> None:
        assert store.promote(now=NOW) is None
        store.enqueue([job(run_at=NOW + 300), job(run_at=NOW + 100, queue="b"), job(run_at=NOW + 200)], now=NOW)
        assert store.promote(now=NOW) == pytest.approx(100, abs=0.01)
        assert store.promote(now=NOW + 150) == pytest.approx(50, abs=0.01)
        assert (store.depth("b"), store.depth(QUEUE)) == (1, 0)
        assert store.promote(now=NOW + 301) is None
        assert store.depth(QUEUE) == 2

    def test_a_time_gone_by_is_due_at_once(self, store: Broker) -> None:
        sent = job(run_at=NOW - 5)
        store.enqueue([sent], now=NOW)
        assert store.promote(now=NOW) is None
        assert ids(claim(store)) == [sent.id]

    @by_record
    def test_promotion_in_small_helpings_forgets_nobody(self, store: Broker) -> None:
        sent = [job(run_at=NOW + n) for n in (5, 3, 1, 4, 2, 60)]
        store.enqueue(sent, now=NOW)
        due: float | None = 0
        while due is not None and due <= 0:
            due = store.promote(now=NOW + 10, limit=2)
        assert due == pytest.approx(50, abs=0.01)
        assert set(ids(claim(store, now=NOW + 10))) == set(ids(sent[:5]))

    @by_record
    def test_promoted_jobs_come_by_priority(self, store: Broker) -> None:
        low, high = job(run_at=NOW + 1, priority=1), job(run_at=NOW + 2, priority=8)
        store.enqueue([low, job(), high], now=NOW)
        store.promote(now=NOW + 3)
        assert [lease.priority for lease in claim(store, now=NOW + 3)] == [8, 5, 1]

    def test_delayed_jobs_do_not_hold_up_ready_ones(self, store: Broker) -> None:
        ready = job()
        store.enqueue([*jobs(500, run_at=NOW + 60, priority=9), ready], now=NOW)
        assert ids(claim(store)) == [ready.id]

    @by_record
    def test_fractions_of_a_second_count(self, store: Broker) -> None:
        sent = job(run_at=NOW + 0.5)
        store.enqueue([sent, job(run_at=NOW + 0.3)], now=NOW)
        store.promote(now=NOW + 0.4)
        assert state(store, sent.id) is State.DELAYED
        store.promote(now=NOW + 0.51)
        assert state(store, sent.id) is State.READY
