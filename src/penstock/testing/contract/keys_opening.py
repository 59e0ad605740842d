"""What lets the next of a key go, when a delayed one has its place, and what is told of them."""

from __future__ import annotations

from penstock.brokers.base import Broker
from penstock.brokers.inspect import Selection
from penstock.core.limiter import Limit
from penstock.core.outcome import Ending, Outcome
from penstock.core.states import State
from penstock.testing.contract.harness import (
    ALICE,
    BOB,
    NOW,
    QUEUE,
    claim,
    claim_one,
    end,
    hand_in,
    ids,
    job,
    jobs,
    state,
)
from penstock.testing.contract.keys import AAPL, FAILURE, MSFT, KeysBase, keyed


class KeyOpeningContract(KeysBase):
    """A key goes on when its first job has ended for good, and not before."""

    # What lets the next go

    def test_a_dead_letter_lets_the_next_go(self, store: Broker) -> None:
        sent = keyed(3)
        store.enqueue(sent, now=NOW)
        (lease,) = claim(store, 1)
        end(store, lease, Ending.DEAD, failure=FAILURE)
        assert ids(claim(store)) == ids(sent[1:])

    def test_a_dead_letter_that_is_retried_goes_behind_the_others(self, store: Broker) -> None:
        sent = keyed(3)
        store.enqueue(sent, now=NOW)
        (lease,) = claim(store, 1)
        end(store, lease, Ending.DEAD, failure=FAILURE)
        assert store.inspector().retry(Selection(ids=(lease.id,))) == 1
        assert ids(claim(store)) == ids([*sent[1:], sent[0]])

    def test_cancelling_the_first_lets_the_next_go(self, store: Broker) -> None:
        sent = keyed(3)
        store.enqueue(sent, now=NOW)
        assert store.inspector().cancel(Selection(ids=(sent[0].id,))) == 1
        assert ids(claim(store)) == ids(sent[1:])

    def test_so_does_cancelling_or_deleting_one_that_waits_to_run_again(self, store: Broker) -> None:
        sent = keyed(4)
        store.enqueue(sent, now=NOW)
        for act in (store.inspector().cancel, store.inspector().delete):
            (lease,) = claim(store, 1)
            end(store, lease, Ending.RETRY, delay=60, failure=FAILURE)
            assert claim(store) == []
            assert act(Selection(ids=(lease.id,))) == 1
        assert ids(claim(store)) == ids(sent[2:])

    def test_one_that_is_cancelled_while_it_runs_lets_the_next_go_when_it_has_ended(self, store: Broker) -> None:
        sent = keyed(3)
        store.enqueue(sent, now=NOW)
        (lease,) = claim(store, 1)
        store.inspector().cancel(Selection(ids=(lease.id,)))
        assert claim(store) == []
        hand_in(store, Outcome(lease, Ending.RETRY, delay=60, failure=FAILURE))
        assert state(store, lease.id) is State.CANCELLED
        assert ids(claim(store)) == ids(sent[1:])

    def test_a_purge_takes_all_that_wait_and_the_key_goes_on(self, store: Broker) -> None:
        sent = keyed(6)
        store.enqueue([*sent, job(gate=AAPL, run_at=NOW + 60)], now=NOW)
        one, _ = claim(store, 2)
        end(store, one, Ending.RETRY, delay=60, failure=FAILURE)
        assert store.purge(QUEUE) == 6
        later = keyed(1)
        store.enqueue(later, now=NOW)
        assert claim(store, holder=BOB) == []
        assert store.abandon(ALICE) == 1
        assert ids(claim(store, holder=BOB)) == ids([sent[1], *later])

    # Delays

    def test_a_delayed_one_has_no_place_until_it_is_due(self, store: Broker) -> None:
        late, sent, after = job(gate=AAPL, run_at=NOW + 30), keyed(2), keyed(1)
        store.enqueue([late, *sent], now=NOW)
        leases = claim(store)
        assert ids(leases) == ids(sent)
        assert hand_in(store, *(Outcome(lease) for lease in leases)) == []
        store.promote(now=NOW + 31)
        store.enqueue(after, now=NOW + 31)
        assert ids(claim(store, now=NOW + 31)) == ids([late, *after])

    def test_one_that_comes_due_while_its_key_is_held_goes_behind(self, store: Broker) -> None:
        late, sent = job(gate=AAPL, run_at=NOW + 30), keyed(2)
        store.enqueue([late, *sent], now=NOW)
        (lease,) = claim(store, 1)
        store.promote(now=NOW + 31)
        assert claim(store, now=NOW + 31) == []
        end(store, lease)
        assert ids(claim(store, now=NOW + 31)) == ids([sent[1], late])

    # What is told

    def test_all_that_wait_are_ready_and_counted(self, store: Broker) -> None:
        store.enqueue([*keyed(5), *keyed(2, MSFT), *jobs(2)], now=NOW)
        assert store.depth(QUEUE) == 9
        assert store.backlog([QUEUE], now=NOW).ready == 9
        (lease,) = claim(store, 1)
        (counts,) = store.inspector().count()
        assert (counts.queue, counts.ready, counts.running) == (QUEUE, 8, 1)
        assert store.depth(QUEUE) == 8
        end(store, lease)
        assert store.depth(QUEUE) == 8

    def test_what_waits_behind_one_that_waits_is_no_backlog(self, store: Broker) -> None:
        store.enqueue(keyed(5), now=NOW)
        (lease,) = claim(store, 1)
        end(store, lease, Ending.RETRY, delay=60, failure=FAILURE)
        assert store.backlog([QUEUE], now=NOW).ready == 0

    def test_follow_ups_keep_the_order(self, store: Broker) -> None:
        sent, born = keyed(2), keyed(2)
        store.enqueue(sent, now=NOW)
        (lease,) = claim(store, 1)
        end(store, lease, follow_ups=tuple(born))
        assert ids(claim(store)) == ids([sent[1], *born])

    def test_a_dead_letter_from_the_start_is_in_nobodys_way(self, store: Broker) -> None:
        dead, sent = job(gate=AAPL, dead=True, failure=FAILURE), keyed(1)
        store.enqueue([dead, *sent], now=NOW)
        lease = claim_one(store)
        assert lease.id == sent[0].id
        end(store, lease)
        assert store.inspector().retry(Selection(ids=(dead.id,))) == 1
        assert ids(claim(store)) == ids([dead])

    def test_a_queues_limit_counts_them(self, store: Broker) -> None:
        store.declare({f",{QUEUE}": Limit(concurrency=3)})
        sent = keyed(5)
        store.enqueue([*sent, *keyed(1, MSFT)], now=NOW)
        leases = claim(store, 10)
        assert len(leases) == 3
        assert claim(store, holder=BOB) == []
        assert hand_in(store, *(Outcome(lease) for lease in leases)) == []
        assert len([*claim(store, 10), *claim(store, 10)]) == 3

    def test_enqueueing_again_changes_nothing(self, store: Broker) -> None:
        sent = keyed(3)
        store.enqueue(sent, now=NOW)
        (lease,) = claim(store, 1)
        assert store.enqueue(sent, now=NOW) == ids(sent)
        assert claim(store, holder=BOB) == []
        end(store, lease)
        assert ids(claim(store)) == ids(sent[1:])

    def test_a_taken_unique_key_stores_nothing(self, store: Broker) -> None:
        first, more = job(gate=AAPL, unique="u"), keyed(1)
        store.enqueue([first], now=NOW)
        assert store.enqueue([job(gate=AAPL, unique="u"), *more], now=NOW)[0] == first.id
        assert ids(claim(store)) == ids([first, *more])
