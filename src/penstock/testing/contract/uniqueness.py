"""One live job per unique key."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from penstock.brokers.base import Broker
from penstock.brokers.inspect import Selection
from penstock.core.job import Failure
from penstock.core.outcome import Ending
from penstock.core.states import LIVE, State
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
    record,
)


class UniqueContract(ContractBase):
    """A key belongs to the first job that took it, until that job's end."""

    def test_the_second_gets_the_id_of_the_first(self, store: Broker) -> None:
        first, second = job(unique="k"), job(unique="k")
        assert store.enqueue([first], now=NOW) == [first.id]
        assert store.enqueue([second], now=NOW) == [first.id]
        assert store.inspector().get(second.id) is None
        assert ids(claim(store)) == [first.id]

    @by_record
    def test_within_one_batch_as_well(self, store: Broker) -> None:
        a, twin, b = job(unique="a"), job(unique="a"), job(unique="b")
        plain = job()
        assert store.enqueue([a, twin, plain, b], now=NOW) == [a.id, a.id, plain.id, b.id]
        assert ids(claim(store)) == [a.id, plain.id, b.id]

    def test_the_key_spans_queues_tasks_and_connections(self, store: Broker, open_store: Callable[..., Broker]) -> None:
        first = job(unique="k")
        store.enqueue([first], now=NOW)
        assert open_store().enqueue([job(unique="k", queue="b", task="other")], now=NOW) == [first.id]
        assert claim(store, queues=["b"]) == []

    def test_a_running_job_holds_its_key(self, store: Broker) -> None:
        first = job(unique="k")
        store.enqueue([first], now=NOW)
        claim_one(store)
        assert store.enqueue([job(unique="k")], now=NOW) == [first.id]
        assert claim(store) == []

    @pytest.mark.parametrize("ending", [Ending.RETRY, Ending.SNOOZE, Ending.PARKED, Ending.RELEASED])
    def test_a_job_that_goes_on_keeps_its_key(self, store: Broker, ending: Ending) -> None:
        first = job(unique="k")
        store.enqueue([first], now=NOW)
        end(store, claim_one(store), ending, delay=60.0)
        assert store.enqueue([job(unique="k")], now=NOW) == [first.id]

    def test_a_delayed_job_holds_its_key(self, store: Broker) -> None:
        first = job(unique="k", run_at=NOW + 60)
        store.enqueue([first], now=NOW)
        assert store.enqueue([job(unique="k")], now=NOW) == [first.id]

    @pytest.mark.parametrize("ending", [Ending.DONE, Ending.DEAD, Ending.CANCELLED])
    @pytest.mark.parametrize("ttl", [0.0, 60.0])
    def test_the_key_is_free_after_the_end(self, store: Broker, ending: Ending, ttl: float) -> None:
        store.enqueue([job(unique="k")], now=NOW)
        end(store, claim_one(store), ending, failure=Failure("E", "m"), result=b"r" if ttl else None, result_ttl=ttl)
        second = job(unique="k")
        assert store.enqueue([second], now=NOW) == [second.id]
        assert ids(claim(store)) == [second.id]

    def test_the_key_is_free_after_cancel_delete_and_purge(self, store: Broker) -> None:
        def cancel(id: bytes) -> None:
            assert store.inspector().cancel(Selection(ids=(id,))) == 1

        def delete(id: bytes) -> None:
            assert store.inspector().delete(Selection(ids=(id,))) == 1

        def purge(id: bytes) -> None:
            assert store.purge(QUEUE) == 1

        for get_rid_of in (cancel, delete, purge):
            one = job(unique="k")
            assert store.enqueue([one], now=NOW) == [one.id]
            get_rid_of(one.id)

    def test_a_stillborn_job_holds_no_key(self, store: Broker) -> None:
        store.enqueue([job(unique="k", dead=True)], now=NOW)
        second = job(unique="k")
        assert store.enqueue([second], now=NOW) == [second.id]

    @by_record
    def test_an_id_and_a_key_that_are_both_known(self, store: Broker) -> None:
        first, holder = job(), job(unique="k")
        store.enqueue([first, holder], now=NOW)
        assert store.enqueue([holder], now=NOW) == [holder.id]
        assert store.enqueue([job(id=first.id, unique="k")], now=NOW)[0] in {first.id, holder.id}
        assert record(store, first.id).unique is None

    @by_record
    def test_a_follow_up_with_a_taken_key_is_not_stored(self, store: Broker) -> None:
        plain, first = job(), job(unique="k")
        store.enqueue([plain, first], now=NOW)
        (lease,) = claim(store, 1)
        second = job(unique="k")
        end(store, lease, follow_ups=(second, other := job()))
        assert store.inspector().get(second.id) is None
        assert ids(claim(store)) == [first.id, other.id]

    def test_a_key_has_one_holder_whoever_is_brought_back(self, store: Broker) -> None:
        first, second = job(unique="k"), job(unique="k")
        for one in (first, second):
            store.enqueue([one], now=NOW)
            end(store, claim_one(store), Ending.DEAD, failure=Failure("E", "m"))
        third = job(unique="k")
        store.enqueue([third], now=NOW)
        store.inspector().retry(Selection(state=State.DEAD))
        holders = [one.id for one in store.inspector().list(Selection()) if one.state in LIVE and one.unique == "k"]
        assert holders == [third.id]
        assert store.enqueue([job(unique="k")], now=NOW) == [third.id]

    def test_a_rescued_job_keeps_its_key(self, store: Broker) -> None:
        first = job(unique="k")
        store.enqueue([first], now=NOW)
        claim_one(store)
        store.abandon(ALICE)
        assert store.enqueue([job(unique="k")], now=NOW) == [first.id]
