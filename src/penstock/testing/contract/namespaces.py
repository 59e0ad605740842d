"""Two users of one database."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from penstock.brokers.base import Broker
from penstock.brokers.inspect import Selection
from penstock.core.states import State
from penstock.testing.contract.harness import (
    ALICE,
    NOW,
    QUEUE,
    ContractBase,
    beat,
    by_record,
    claim,
    claim_one,
    ids,
    job,
    jobs,
    new_id,
    with_namespace,
)


class NamespaceContract(ContractBase):
    """`?namespace=` keeps two users of one database apart in everything."""

    @pytest.fixture
    def shop(self, url: str, open_store: Callable[..., Broker]) -> Broker:
        """A namespace of the store."""
        return open_store(with_namespace(url, "shop"))

    @by_record
    def test_jobs_are_not_shared(self, store: Broker, shop: Broker) -> None:
        mine, theirs = job(), job()
        store.enqueue([mine], now=NOW)
        shop.enqueue([theirs, job(dead=True), job(run_at=NOW + 9)], now=NOW)
        assert store.inspector().get(theirs.id) is None
        assert ids(store.inspector().list(Selection())) == [mine.id]
        assert (store.depth(QUEUE), shop.depth(QUEUE)) == (1, 1)
        assert [(one.ready, one.delayed, one.dead) for one in store.inspector().count()] == [(1, 0, 0)]
        assert store.promote(now=NOW) is None
        assert ids(claim(store)) == [mine.id]
        assert ids(claim(shop)) == [theirs.id]

    def test_the_same_id_key_and_batch_may_be_used_in_both(self, store: Broker, shop: Broker) -> None:
        batch = new_id()
        sent = job(unique="k", batch=batch, items=2)
        assert store.enqueue([sent], now=NOW) == shop.enqueue([sent], now=NOW) == [sent.id]
        second = job(unique="x")
        shop.enqueue([second], now=NOW)
        third = job(unique="x", batch=batch)
        assert store.enqueue([third], now=NOW) == [third.id]
        totals = [
            counters.total for counters in (store.inspector().batch(batch), shop.inspector().batch(batch)) if counters
        ]
        assert totals == [3, 2]

    @by_record
    def test_repairs_stay_at_home(self, store: Broker, shop: Broker) -> None:
        sent = [*jobs(3), job(dead=True), job(run_at=NOW + 5)]
        shop.enqueue(sent, now=NOW)
        assert store.inspector().cancel(Selection()) == 0
        assert store.inspector().retry(Selection()) == 0
        assert store.inspector().delete(Selection()) == 0
        assert store.purge(QUEUE) == 0
        assert store.unpark(["app.task"]) == 0
        store.promote(now=NOW + 10)
        assert [one.state for one in shop.inspector().list(Selection())] == [State.READY] * 3 + [
            State.DEAD,
            State.DELAYED,
        ]

    def test_workers_are_not_shared(self, store: Broker, shop: Broker) -> None:
        beat(shop, ALICE.worker)
        shop.enqueue(jobs(1), now=NOW)
        lease = claim_one(shop)
        assert list(store.inspector().workers()) == []
        assert store.rescue(dead_after=10, now=NOW + 60) == 0
        assert store.abandon(ALICE) == 0
        store.depart(ALICE.worker)
        assert store.requeue([lease], ALICE) == [lease]
        assert shop.requeue([lease], ALICE) == []

    def test_a_namespace_outlives_its_connections(
        self, url: str, shop: Broker, open_store: Callable[..., Broker]
    ) -> None:
        shop.enqueue([job()], now=NOW)
        shop.close()
        assert open_store().depth(QUEUE) == 0
        assert open_store(with_namespace(url, "shop")).depth(QUEUE) == 1
