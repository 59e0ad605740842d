"""Which job comes next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from penstock.brokers.base import Broker
from penstock.core.outcome import Ending
from penstock.testing.contract.harness import (
    ALICE,
    BOB,
    NOW,
    QUEUE,
    ContractBase,
    by_record,
    claim,
    end,
    ids,
    job,
    jobs,
)


class OrderContract(ContractBase):
    """Higher priorities first, then older positions, and no queue starves another."""

    def test_first_in_first_out(self, store: Broker) -> None:
        sent = jobs(30)
        for n in range(0, 30, 10):
            store.enqueue(sent[n : n + 10], now=NOW)
        assert [ids(claim(store, 7))[0] for _ in range(5)] == ids(sent)[0::7]

    def test_the_order_is_that_of_arrival_not_of_the_ids(self, store: Broker) -> None:
        sent = jobs(10)[::-1]
        store.enqueue(sent[:5], now=NOW)
        store.enqueue(sent[5:], now=NOW)
        assert ids(claim(store)) == ids(sent)

    def test_two_holders_share_one_order(self, store: Broker, open_store: Callable[..., Broker]) -> None:
        sent = jobs(6)
        store.enqueue(sent, now=NOW)
        other = open_store()
        taken = [*claim(store, 2), *claim(other, 2, holder=BOB), *claim(store, 2)]
        assert ids(taken) == ids(sent)

    def test_higher_priorities_come_first(self, store: Broker) -> None:
        sent = [job(priority=priority) for priority in (5, 0, 9, 3, 9, 1, 5, 8, 7, 2, 4, 6)]
        store.enqueue(sent, now=NOW)
        expected = sorted(sent, key=lambda one: -one.priority)
        assert ids([*claim(store, 5), *claim(store)]) == ids(expected)

    def test_a_high_priority_overtakes_what_waited_longer(self, store: Broker) -> None:
        low, high = jobs(3, priority=4), jobs(2, priority=6)
        store.enqueue(low, now=NOW)
        first = claim(store, 1)
        store.enqueue(high, now=NOW)
        assert ids(first) + ids(claim(store)) == ids([low[0], *high, *low[1:]])

    def test_never_more_than_the_limit(self, store: Broker) -> None:
        store.enqueue(jobs(5), now=NOW)
        store.enqueue(jobs(5, queue="b"), now=NOW)
        assert len(claim(store, 3, queues=[QUEUE, "b"])) == 3
        assert claim(store, 0, queues=[QUEUE, "b"]) == []
        assert len(claim(store, 100, queues=[QUEUE, "b"])) == 7

    def test_only_from_the_queues_asked_for(self, store: Broker) -> None:
        a, b, c = (job(queue=queue) for queue in "abc")
        store.enqueue([a, b, c], now=NOW)
        assert claim(store, queues=()) == []
        assert claim(store, queues=["d"]) == []
        assert ids(claim(store, queues=["b"])) == [b.id]
        assert set(ids(claim(store, queues=["a", "b", "c", "d"]))) == {a.id, c.id}

    @pytest.mark.parametrize("limit", [1, 10])
    @pytest.mark.parametrize("queues", [("a", "b", "c"), ("c", "b", "a")])
    def test_a_deep_queue_does_not_starve_the_others(self, store: Broker, limit: int, queues: tuple[str, ...]) -> None:
        store.enqueue(jobs(300, queue="a"), now=NOW)
        store.enqueue(jobs(20, queue="b") + jobs(20, queue="c"), now=NOW)
        taken = Counter(lease.queue for _ in range(100 // limit) for lease in claim(store, limit, queues=queues))
        assert taken.total() == 100
        assert taken["b"] >= 5
        assert taken["c"] >= 5

    def test_a_flood_of_high_priorities_does_not_starve_another_queue(self, store: Broker) -> None:
        store.enqueue(jobs(200, queue="flood", priority=9), now=NOW)
        store.enqueue(jobs(1, queue="quiet", priority=0), now=NOW)
        taken = [lease.queue for _ in range(100) for lease in claim(store, 1, queues=["flood", "quiet"])]
        assert "quiet" in taken

    def test_a_queue_without_jobs_does_not_narrow_the_others(self, store: Broker) -> None:
        store.enqueue(jobs(40, queue="a"), now=NOW)
        assert len(claim(store, 40, queues=["x", "a", "y", "z"])) == 40

    def test_released_jobs_keep_their_place(self, store: Broker) -> None:
        sent = jobs(5)
        store.enqueue(sent, now=NOW)
        taken = claim(store, 3)
        end(store, taken[0], Ending.RELEASED)
        assert store.requeue(taken[1:], ALICE) == []
        assert ids(claim(store)) == ids(sent)

    @by_record
    @pytest.mark.parametrize("delay", [0.0, 5.0])
    def test_a_retry_goes_to_the_back(self, store: Broker, delay: float) -> None:
        sent = jobs(3)
        store.enqueue(sent, now=NOW)
        (first,) = claim(store, 1)
        end(store, first, Ending.RETRY, delay=delay)
        store.promote(now=NOW + 5)
        assert ids(claim(store, now=NOW + 5)) == ids([*sent[1:], sent[0]])

    @by_record
    def test_what_went_to_the_back_stays_ahead_of_what_comes_later(self, store: Broker) -> None:
        sent = jobs(20)
        store.enqueue(sent, now=NOW)
        (first,) = claim(store, 1)
        end(store, first, Ending.RETRY, delay=5.0)
        store.promote(now=NOW + 5)
        for lease in claim(store, 19):
            end(store, lease)
        store.enqueue(later := jobs(3), now=NOW)
        assert ids(claim(store)) == ids([sent[0], *later])

    @by_record
    def test_purge_takes_what_waits_in_one_queue(self, store: Broker) -> None:
        store.enqueue([*jobs(4), job(run_at=NOW + 60)], now=NOW)
        store.enqueue([job(queue="other"), job(queue="other", run_at=NOW + 60)], now=NOW)
        dead = job(dead=True)
        store.enqueue([dead], now=NOW)
        running, parked = claim(store, 2)
        end(store, parked, Ending.PARKED)
        assert store.purge(QUEUE) == 3
        assert store.purge(QUEUE) == 0
        assert store.purge("never heard of") == 0
        assert (store.depth(QUEUE), store.depth("other")) == (0, 1)
        counts = {one.queue: one for one in store.inspector().count()}
        assert (counts[QUEUE].running, counts[QUEUE].parked, counts[QUEUE].dead) == (1, 1, 1)
        assert (counts[QUEUE].ready, counts[QUEUE].delayed) == (0, 0)
        assert (counts["other"].ready, counts["other"].delayed) == (1, 1)
        end(store, running)
