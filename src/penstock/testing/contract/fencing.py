"""Only the holder of the claim in force can end a job."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from penstock.brokers.base import Broker
from penstock.brokers.inspect import Selection
from penstock.core.job import Failure, Holder, Lease
from penstock.core.outcome import Ending, Outcome, Step
from penstock.core.states import State
from penstock.testing.contract.harness import (
    ALICE,
    BOB,
    NOW,
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
    rescue_from,
    state,
)


def by_rescue(store: Broker) -> None:
    """Alice falls silent, and somebody gives her job back."""
    assert rescue_from(store, ALICE) == 1


def by_abandon(store: Broker) -> None:
    """Alice's supervisor gives back what her process held."""
    assert store.abandon(ALICE) == 1


LOSSES = pytest.mark.parametrize("lose", [by_rescue, by_abandon])
ENDINGS = pytest.mark.parametrize("ending", list(Ending))


class FencingContract(ContractBase):
    """A stale outcome changes nothing and is returned."""

    @pytest.fixture
    def lease(self, store: Broker) -> Lease:
        """A lease of Alice's on the only job."""
        store.enqueue(jobs(1), now=NOW)
        return claim_one(store)

    @by_record
    def test_an_outcome_that_is_handed_in_twice_lets_go_of_no_other_job(self, store: Broker) -> None:
        store.enqueue(jobs(2), now=NOW)
        first, second = claim(store)
        assert hand_in(store, Outcome(first)) == []
        assert len(hand_in(store, Outcome(first))) == 1
        assert store.held(ALICE) == [second]
        assert store.abandon(ALICE) == 1
        assert claim_one(store).id == second.id

    def test_of_two_endings_in_one_exchange_the_first_counts(self, store: Broker) -> None:
        store.enqueue(jobs(2), now=NOW)
        first, second = claim(store)
        after = job(task="after")
        twice = [Outcome(first, follow_ups=(after,)) for _ in range(2)]
        assert len(hand_in(store, *twice)) == 1
        assert ids(claim(store)) == [after.id]
        assert hand_in(store, Outcome(second)) == []

    @ENDINGS
    @LOSSES
    def test_a_stale_holder_can_end_nothing(
        self, store: Broker, lease: Lease, lose: Callable[[Broker], None], ending: Ending
    ) -> None:
        lose(store)
        current = claim_one(store, BOB)
        assert current.claim > lease.claim
        before = store.inspector().get(lease.id)
        late = Outcome(lease, ending, delay=9.0, failure=Failure("E", "late"), payload=b"late", items=7)
        assert hand_in(store, late) == [late]
        assert store.inspector().get(lease.id) == before
        assert claim(store, holder=BOB) == []
        done = Outcome(current)
        assert hand_in(store, done, holder=BOB) == []
        assert state(store, lease.id) is State.DONE

    @by_record
    @ENDINGS
    @LOSSES
    def test_a_lease_given_back_is_stale_before_anybody_takes_it(
        self, store: Broker, lease: Lease, lose: Callable[[Broker], None], ending: Ending
    ) -> None:
        lose(store)
        late = Outcome(lease, ending, delay=9.0)
        assert hand_in(store, late) == [late]
        assert state(store, lease.id) is State.READY
        again = claim_one(store)
        assert again.payload == lease.payload

    @LOSSES
    def test_the_same_holder_needs_its_new_claim(
        self, store: Broker, lease: Lease, lose: Callable[[Broker], None]
    ) -> None:
        lose(store)
        again = claim_one(store)
        assert again.claim > lease.claim
        late = Outcome(lease, Ending.DEAD)
        assert hand_in(store, late) == [late]
        end(store, again)

    @LOSSES
    def test_a_stale_lease_can_not_be_requeued(
        self, store: Broker, lease: Lease, lose: Callable[[Broker], None]
    ) -> None:
        lose(store)
        current = claim_one(store, BOB)
        assert store.requeue([lease], ALICE) == [lease]
        assert claim(store) == []
        assert store.requeue([current], BOB) == []

    @LOSSES
    def test_what_came_with_a_stale_outcome_is_not_stored(self, store: Broker, lose: Callable[[Broker], None]) -> None:
        batch = new_id()
        store.enqueue([job(batch=batch)], now=NOW)
        lease = claim_one(store)
        lose(store)
        follow_up = job()
        late = Outcome(
            lease, result=b"late", result_ttl=60.0, follow_ups=(follow_up,), steps=(Step(batch, done=1, failed=1),)
        )
        assert hand_in(store, late) == [late]
        assert store.inspector().get(follow_up.id) is None
        assert store.inspector().result(lease.id, now=NOW) is None
        counters = store.inspector().batch(batch)
        assert counters is not None
        assert (counters.done, counters.failed) == (0, 0)

    def test_a_stale_outcome_does_not_change_the_order_of_the_others(self, store: Broker) -> None:
        store.enqueue(jobs(3), now=NOW)
        first, second, third = (claim(store, 1)[0] for _ in range(3))
        assert hand_in(store, Outcome(third)) == []
        born = jobs(2)
        outcomes = [Outcome(second, follow_ups=(born[0],)), Outcome(third), Outcome(first, follow_ups=(born[1],))]
        again = [Outcome(second), *outcomes[1:2]]
        assert hand_in(store, *outcomes, again[0]) == [outcomes[1], again[0]]
        assert ids(claim(store)) == ids(born)

    @by_record
    @pytest.mark.parametrize("ending", [Ending.RELEASED, Ending.RETRY, Ending.PARKED, Ending.DEAD])
    def test_an_ending_ends_the_lease(self, store: Broker, lease: Lease, ending: Ending) -> None:
        end(store, lease, ending, delay=60.0)
        again = Outcome(lease)
        assert hand_in(store, again) == [again]
        assert store.inspector().get(lease.id) is not None

    @by_record
    def test_an_old_ending_does_not_hit_the_job_that_took_its_place(self, store: Broker, lease: Lease) -> None:
        end(store, lease)
        store.enqueue([new := job()], now=NOW)
        current = claim_one(store)
        late = Outcome(lease)
        assert hand_in(store, late) == [late]
        assert state(store, new.id) is State.RUNNING
        end(store, current)

    def test_an_id_that_is_enqueued_anew_is_another_job(self, store: Broker, lease: Lease) -> None:
        end(store, lease)
        store.enqueue([job(id=lease.id)], now=NOW)
        current = claim_one(store)
        late = Outcome(lease)
        assert hand_in(store, late) == [late]
        end(store, current)

    def test_a_dead_letter_brought_back_is_not_ended_by_its_old_holder(self, store: Broker, lease: Lease) -> None:
        end(store, lease, Ending.DEAD)
        store.enqueue([other := job()], now=NOW)
        end(store, claim_one(store))
        assert retry_all(store) == 1
        current = claim_one(store, BOB)
        late = Outcome(lease)
        assert hand_in(store, late) == [late]
        assert hand_in(store, Outcome(current), holder=BOB) == []
        assert state(store, other.id) is State.DONE

    def test_claims_only_grow(self, store: Broker, lease: Lease) -> None:
        claims = [lease.claim]
        for _ in range(5):
            end(store, lease, Ending.RELEASED)
            lease = claim_one(store)
            claims.append(lease.claim)
        store.abandon(ALICE)
        claims.append(claim_one(store, Holder("carol", 3)).claim)
        assert claims == sorted(set(claims))

    def test_the_others_of_an_exchange_are_not_held_up(self, store: Broker) -> None:
        sent = jobs(20)
        store.enqueue(sent, now=NOW)
        leases = claim(store)
        for lease in leases[::3]:
            end(store, lease)
        outcomes = [Outcome(lease) for lease in leases]
        assert hand_in(store, *outcomes) == outcomes[::3]
        assert all(state(store, id) is State.DONE for id in ids(sent))


def retry_all(store: Broker) -> int:
    """Bring every dead letter back."""
    return store.inspector().retry(Selection(state=State.DEAD))
