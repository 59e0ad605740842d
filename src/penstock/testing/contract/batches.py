"""The counters of batches."""

from __future__ import annotations

from collections.abc import Callable

from penstock.brokers.base import Broker
from penstock.brokers.inspect import BatchRecord, Selection
from penstock.core.job import Failure
from penstock.core.outcome import Ending, Outcome, Step
from penstock.testing.contract.harness import (
    NOW,
    ContractBase,
    claim,
    claim_one,
    end,
    hand_in,
    ids,
    job,
    jobs,
    new_id,
)

DAY = 86_400.0


def counters(store: Broker, id: bytes) -> BatchRecord:
    """A batch that must be there."""
    found = store.inspector().batch(id)
    assert found is not None
    return found


class BatchContract(ContractBase):
    """A batch's total grows as its jobs are enqueued, and steps count once."""

    def test_no_batch_of_that_id(self, store: Broker) -> None:
        assert store.inspector().batch(new_id()) is None

    def test_the_total_grows_by_the_items_enqueued(self, store: Broker) -> None:
        batch, other = new_id(), new_id()
        store.enqueue([job(batch=batch, items=1000, packed=True), job(batch=other), job(batch=batch)], now=NOW)
        store.enqueue([job(batch=batch, items=10), job()], now=NOW)
        assert counters(store, batch) == BatchRecord(batch, total=1011, done=0, failed=0, retried=0)
        assert counters(store, other).total == 1

    def test_what_is_not_stored_is_not_counted(self, store: Broker) -> None:
        batch = new_id()
        sent = job(batch=batch, items=10, unique="k")
        store.enqueue([sent], now=NOW)
        store.enqueue([sent], now=NOW)
        store.enqueue([job(batch=batch, unique="k")], now=NOW)
        claim_one(store)
        store.enqueue([sent, sent], now=NOW)
        assert counters(store, batch).total == 10

    def test_follow_ups_do_not_add_to_the_total(self, store: Broker) -> None:
        batch = new_id()
        store.enqueue([job(batch=batch, items=3, packed=True)], now=NOW)
        broken = (job(batch=batch, item=1, dead=True), job(batch=batch, item=2, run_at=NOW + 5))
        end(store, claim_one(store), follow_ups=broken, steps=(Step(batch, done=1, failed=1, retried=1),))
        assert counters(store, batch) == BatchRecord(batch, total=3, done=1, failed=1, retried=1)
        assert set(ids(store.inspector().list(Selection(batch=batch)))) == set(ids(broken))

    def test_steps_of_one_exchange_add_up(self, store: Broker) -> None:
        batch, other = new_id(), new_id()
        store.enqueue([*jobs(10, batch=batch, items=5), *jobs(5, batch=other)], now=NOW)
        outcomes = [Outcome(lease, steps=(Step(lease.batch or b"", done=lease.items),)) for lease in claim(store)]
        assert hand_in(store, *outcomes) == []
        assert counters(store, batch) == BatchRecord(batch, total=50, done=50, failed=0, retried=0)
        assert counters(store, other).done == 5

    def test_one_outcome_may_step_in_two_batches(self, store: Broker) -> None:
        batch, other = new_id(), new_id()
        store.enqueue([job(batch=batch), job(batch=other)], now=NOW)
        (lease, _) = claim(store)
        end(store, lease, steps=(Step(batch, done=1), Step(other, failed=1), Step(batch, done=2)))
        assert (counters(store, batch).done, counters(store, other).failed) == (3, 1)

    def test_steps_count_once(self, store: Broker) -> None:
        batch = new_id()
        store.enqueue([job(batch=batch)], now=NOW)
        done = Outcome(claim_one(store), steps=(Step(batch, done=1),))
        assert hand_in(store, done) == []
        assert hand_in(store, done) == [done]
        assert counters(store, batch).done == 1

    def test_steps_of_stale_outcomes_do_not_count_beside_good_ones(self, store: Broker) -> None:
        batch = new_id()
        store.enqueue(jobs(4, batch=batch), now=NOW)
        leases = claim(store)
        outcomes = [Outcome(lease, steps=(Step(batch, done=1),)) for lease in leases]
        assert hand_in(store, outcomes[1]) == []
        assert hand_in(store, *outcomes) == [outcomes[1]]
        assert counters(store, batch).done == 4

    def test_retries_and_dead_letters_are_stepped_too(self, store: Broker) -> None:
        batch = new_id()
        store.enqueue([job(batch=batch)], now=NOW)
        failure = Failure("E", "m")
        end(store, claim_one(store), Ending.RETRY, failure=failure, steps=(Step(batch, retried=1),))
        store.promote(now=NOW)
        end(store, claim_one(store), Ending.DEAD, failure=failure, steps=(Step(batch, failed=1),))
        assert counters(store, batch) == BatchRecord(batch, total=1, done=0, failed=1, retried=1)

    def test_the_counters_of_one_that_has_ended_go_when_it_has_had_no_job_for_a_day(self, store: Broker) -> None:
        batch, failed, waits = new_id(), new_id(), new_id()
        store.enqueue([job(batch=batch), job(batch=failed), job(batch=waits)], now=NOW)
        store.enqueue([job(batch=waits, items=0, run_at=NOW + 9 * DAY)], now=NOW)
        (good, bad, other) = claim(store)
        for looked_at in (NOW, NOW + DAY):
            store.prune(now=looked_at)
            assert counters(store, batch).total == 1
        end(store, good, steps=(Step(batch, done=1),))
        end(store, bad, Ending.DEAD, failure=Failure("E", "m"), steps=(Step(failed, failed=1),))
        end(store, other, steps=(Step(waits, done=1),))
        store.prune(now=NOW + 2 * DAY)
        store.prune(now=NOW + 2.9 * DAY)
        assert counters(store, batch).done == 1
        store.prune(now=NOW + 3.1 * DAY)
        assert store.inspector().batch(batch) is None
        assert counters(store, waits) == BatchRecord(waits, total=1, done=1, failed=0, retried=0)
        # A dead letter may be retried, and counts again then.
        assert counters(store, failed).failed == 1
        assert store.inspector().retry(Selection(batch=failed)) == 1
        assert counters(store, failed).failed == 0

    def test_counters_that_changed_between_two_looks_stay(self, store: Broker) -> None:
        batch = new_id()
        store.enqueue([job(batch=batch)], now=NOW)
        end(store, claim_one(store), steps=(Step(batch, done=1),))
        store.prune(now=NOW)
        store.enqueue([job(batch=batch)], now=NOW)
        end(store, claim_one(store), steps=(Step(batch, done=1),))
        store.prune(now=NOW + 1.1 * DAY)
        assert counters(store, batch).done == 2
        store.prune(now=NOW + 2.2 * DAY)
        assert store.inspector().batch(batch) is None

    def test_a_batch_is_seen_by_every_connection(self, store: Broker, open_store: Callable[..., Broker]) -> None:
        batch = new_id()
        store.enqueue(jobs(2, batch=batch), now=NOW)
        other = open_store()
        other.enqueue(jobs(2, batch=batch), now=NOW)
        assert counters(store, batch).total == counters(other, batch).total == 4
