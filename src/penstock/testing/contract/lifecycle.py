"""Opening, closing, and opening again."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from penstock.brokers import connect
from penstock.brokers.base import Broker, Feature, WorkerInfo
from penstock.brokers.inspect import Selection
from penstock.core.outcome import Ending
from penstock.core.topics import Event, Subscription
from penstock.errors import PenstockError
from penstock.testing.contract.harness import (
    ALICE,
    NOW,
    QUEUE,
    ContractBase,
    by_record,
    claim,
    claim_one,
    end,
    ids,
    job,
    jobs,
    new_id,
    with_namespace,
)
from penstock.testing.contract.processes import Child, ProcessContract, together

CALLS: dict[str, Callable[[Broker], object]] = {
    "enqueue": lambda store: store.enqueue([job()]),
    "exchange": lambda store: store.exchange((), [QUEUE], 1, ALICE),
    "abandon": lambda store: store.abandon(ALICE),
    "purge": lambda store: store.purge(QUEUE),
    "heartbeat": lambda store: store.heartbeat(WorkerInfo("w", "h", 1, "threads", 1, (QUEUE,), NOW)),
    "depart": lambda store: store.depart("w"),
    "promote": lambda store: store.promote(),
    "rescue": lambda store: store.rescue(dead_after=10),
    "unpark": lambda store: store.unpark(["t"]),
    "prune": lambda store: store.prune(),
    "subscribe": lambda store: store.subscribe([Subscription("g", "t", "#", QUEUE)]),
    "unsubscribe": lambda store: store.unsubscribe([Subscription("g", "t", "#", QUEUE)]),
    "subscriptions": lambda store: store.subscriptions(),
    "publish": lambda store: store.publish([Event(job().id, "orders.filled", b"")]),
    "depth": lambda store: store.depth(QUEUE),
    "get": lambda store: store.inspector().get(job().id),
    "list": lambda store: store.inspector().list(Selection()),
    "count": lambda store: store.inspector().count(),
    "workers": lambda store: store.inspector().workers(),
    "result": lambda store: store.inspector().result(job().id),
    "batch": lambda store: store.inspector().batch(job().id),
    "cancel": lambda store: store.inspector().cancel(Selection()),
    "retry": lambda store: store.inspector().retry(Selection()),
    "delete": lambda store: store.inspector().delete(Selection()),
}

#: What a task may ask for where it is declared: every broker has it, so that none need be refused at the start.
DECLARED = frozenset(
    {
        Feature.DELAY,
        Feature.PRIORITY,
        Feature.UNIQUE,
        Feature.RESULTS,
        Feature.BATCH,
        Feature.LIMITS,
        Feature.TOPICS,
        Feature.SCHEDULES,
    }
)


class LifecycleContract(ProcessContract, ContractBase):
    """A store outlives its connections, and a closed broker says that it is closed."""

    def test_the_contract_covers_what_the_broker_claims(self, store: Broker) -> None:
        assert store.features <= frozenset(Feature)
        assert store.features >= DECLARED
        assert (Feature.INSPECT in store.features) is store.keeps_records

    def test_close_may_be_called_twice(self, url: str) -> None:
        store = connect(url)
        store.close()
        store.open()
        store.close()
        store.close()

    def test_install_and_open_may_be_repeated(self, url: str, store: Broker) -> None:
        sent = job()
        store.enqueue([sent], now=NOW)
        store.install()
        installer = connect(url)
        installer.open()
        installer.install()
        installer.close()
        assert ids(claim(store)) == [sent.id]

    @by_record
    def test_everything_is_there_after_reopening(self, url: str) -> None:
        store = connect(url)
        store.open()
        sent = [*jobs(3), job(run_at=NOW + 60), job(unique="k", priority=9)]
        store.enqueue(sent, now=NOW)
        dead, held = claim(store, 2)
        end(store, dead, Ending.DEAD)
        before = store.inspector().list(Selection())
        store.close()
        store.open()
        assert store.inspector().list(Selection()) == before
        assert store.enqueue([job(unique="k")], now=NOW) != [dead.id]
        end(store, held)
        assert store.promote(now=NOW) == pytest.approx(60, abs=0.01)
        store.close()

    @by_record
    def test_a_lease_survives_the_connection_it_came_by(self, store: Broker, open_store: Callable[..., Broker]) -> None:
        store.enqueue(jobs(1), now=NOW)
        lease = claim_one(store)
        store.close()
        end(open_store(), lease)

    @pytest.mark.parametrize("call", list(CALLS))
    def test_a_closed_broker_says_so(self, store: Broker, call: str) -> None:
        store.close()
        with pytest.raises(PenstockError):
            CALLS[call](store)

    def test_one_connection_sees_what_another_did(self, store: Broker, open_store: Callable[..., Broker]) -> None:
        other = open_store()
        sent = job()
        other.enqueue([sent], now=NOW)
        lease = claim_one(store)
        assert lease.id == sent.id
        assert claim(other) == []
        end(store, lease)
        assert other.inspector().get(sent.id) is None

    @pytest.fixture
    def unopened(self, url: str) -> str:
        """A store that nobody has opened yet: what is given as fresh may be an old one, emptied."""
        return with_namespace(url, f"new{new_id().hex()[-8:]}")

    def test_many_processes_open_a_new_store_at_once(
        self, unopened: str, start: Callable[..., Child], open_store: Callable[..., Broker]
    ) -> None:
        children = [start("begin", unopened) for _ in range(6)]
        together(children)
        assert [child.finish() for child in children] == [["done"]] * 6
        assert open_store(unopened).depth(QUEUE) == 6

    def test_many_threads_open_a_new_store_at_once(self, unopened: str, open_store: Callable[..., Broker]) -> None:
        barrier = threading.Barrier(6)
        failed: list[PenstockError] = []

        def begin() -> None:
            barrier.wait(30)
            store = connect(unopened)
            try:
                store.open()
                store.enqueue([job()], now=NOW)
            except PenstockError as error:
                failed.append(error)
            finally:
                store.close()

        threads = [threading.Thread(target=begin) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert open_store(unopened).depth(QUEUE) == 6
