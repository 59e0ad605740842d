"""How much waits, and for how long."""

from __future__ import annotations

from penstock.brokers.base import COUNTED, Backlog, Broker
from penstock.core.outcome import Ending
from penstock.testing.contract.harness import (
    ALICE,
    NOW,
    QUEUE,
    ContractBase,
    by_record,
    claim,
    claim_one,
    end,
    job,
    jobs,
)


class BacklogContract(ContractBase):
    """What could start now, in the queues that are asked about."""

    def test_nothing_waits(self, store: Broker) -> None:
        assert store.backlog([QUEUE], now=NOW) == Backlog()
        assert store.backlog([], now=NOW) == Backlog()
        store.enqueue([job(run_at=NOW + 60), job(queue="b")], now=NOW)
        assert store.backlog([QUEUE], now=NOW + 1) == Backlog()

    @by_record
    def test_ready_jobs_are_counted_and_the_oldest_tells_how_long(self, store: Broker) -> None:
        store.enqueue(jobs(2, priority=1), now=NOW)
        store.enqueue([*jobs(2, priority=9), *jobs(3, queue="b")], now=NOW + 5)
        assert store.backlog([QUEUE], now=NOW + 7) == Backlog(4, 7.0)
        assert store.backlog(["b"], now=NOW + 7) == Backlog(3, 2.0)
        assert store.backlog([QUEUE, "b", "none"], now=NOW + 7) == Backlog(7, 7.0)
        claim(store, 3)
        assert store.backlog([QUEUE], now=NOW + 7) == Backlog(1, 7.0)

    @by_record
    def test_a_job_waits_from_when_it_is_ready(self, store: Broker) -> None:
        store.enqueue([job(run_at=NOW + 60)], now=NOW)
        store.promote(now=NOW + 61)
        assert store.backlog([QUEUE], now=NOW + 63) == Backlog(1, 2.0)
        lease = claim_one(store, now=NOW + 63)
        store.exchange([], (), 0, ALICE, now=NOW + 64)
        end(store, lease, Ending.RELEASED)
        assert store.backlog([QUEUE], now=NOW + 64) == Backlog(1, 3.0)

    def test_a_clock_that_was_set_back_makes_no_job_wait(self, store: Broker) -> None:
        store.enqueue(jobs(1), now=NOW)
        assert store.backlog([QUEUE], now=NOW - 60) == Backlog(1, 0.0)

    def test_a_deep_queue_is_not_counted_to_its_end(self, store: Broker) -> None:
        store.enqueue(jobs(COUNTED + 10), now=NOW)
        assert store.backlog([QUEUE], now=NOW).ready == COUNTED
        assert store.backlog([QUEUE], now=NOW, most=COUNTED + 7).ready == COUNTED + 7
        assert store.backlog([QUEUE], now=NOW, most=10**6).ready == COUNTED + 10
