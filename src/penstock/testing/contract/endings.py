"""How leases end, and what commits together with an ending."""

from __future__ import annotations

import msgspec
import pytest

from penstock.brokers.base import Broker
from penstock.core.job import Failure
from penstock.core.outcome import Ending, Outcome
from penstock.core.states import State
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
    hand_in,
    ids,
    job,
    jobs,
    record,
    state,
)

FAILURE = Failure("ValueError", "not a number: 'ы'", "Traceback (most recent call last):\n  ...\nValueError")


class EndingContract(ContractBase):
    """Each ending does what it says, once, and all of an exchange commits together."""

    def test_done_leaves_nothing_behind(self, store: Broker) -> None:
        sent = job()
        store.enqueue([sent], now=NOW)
        end(store, claim_one(store))
        assert store.inspector().get(sent.id) is None
        assert claim(store) == []
        assert [one for one in store.inspector().count() if one.ready or one.running] == []

    @by_record
    def test_a_claimed_job_is_not_handed_out_again(self, store: Broker) -> None:
        sent = job()
        store.enqueue([sent], now=NOW)
        claim_one(store)
        assert claim(store, now=NOW + 1e6) == []
        assert state(store, sent.id) is State.RUNNING
        assert store.depth(QUEUE) == 0

    @by_record
    def test_a_retry_counts_an_attempt_and_waits(self, store: Broker) -> None:
        sent = job()
        store.enqueue([sent], now=NOW)
        first = claim_one(store)
        end(store, first, Ending.RETRY, delay=30.0, failure=FAILURE)
        stored = record(store, sent.id)
        assert (stored.state, stored.attempt, stored.failure) == (State.DELAYED, 1, FAILURE)
        assert stored.run_at == pytest.approx(NOW + 30, abs=0.01)
        assert claim(store, now=NOW + 29) == []
        store.promote(now=NOW + 30.1)
        second = claim_one(store, now=NOW + 30.1)
        assert (second.attempt, second.crashes) == (1, 0)
        assert second.claim > first.claim

    def test_a_retry_without_delay_is_due_at_once(self, store: Broker) -> None:
        store.enqueue(jobs(1), now=NOW)
        for attempt in range(4):
            lease = claim_one(store)
            assert lease.attempt == attempt
            end(store, lease, Ending.RETRY, failure=FAILURE)
            store.promote(now=NOW)

    @by_record
    def test_a_snooze_waits_and_counts_nothing(self, store: Broker) -> None:
        sent = job(attempt=2)
        store.enqueue([sent], now=NOW)
        end(store, claim_one(store), Ending.SNOOZE, delay=30.0)
        assert claim(store, now=NOW + 29) == []
        stored = record(store, sent.id)
        assert (stored.state, stored.attempt) == (State.DELAYED, 2)
        store.promote(now=NOW + 31)
        assert claim_one(store, now=NOW + 31).attempt == 2

    def test_a_release_counts_nothing(self, store: Broker) -> None:
        store.enqueue(jobs(1), now=NOW)
        for _ in range(3):
            lease = claim_one(store)
            assert (lease.attempt, lease.crashes) == (0, 0)
            end(store, lease, Ending.RELEASED)

    @by_record
    def test_a_crash_counts_in_place_of_an_attempt(self, store: Broker) -> None:
        failed, died, had_died = jobs(3, attempt=1)
        store.enqueue([failed, died, had_died], now=NOW)
        crashes = {failed.id: None, died.id: 1, had_died.id: 0}
        outcomes = [
            Outcome(lease, Ending.DEAD, failure=FAILURE, crashes=crashes[lease.id]) for lease in claim(store, 2)
        ]
        assert store.exchange(outcomes, [QUEUE], 1, ALICE, now=NOW).stale == []
        (last,) = store.held(ALICE)
        late = Outcome(msgspec.structs.replace(last, claim=last.claim + 1), Ending.DEAD, failure=FAILURE, crashes=1)
        assert hand_in(store, late) == [late]
        end(store, last, Ending.DEAD, failure=FAILURE, crashes=crashes[last.id])
        counted = {id: (record(store, id).attempt, record(store, id).crashes) for id in crashes}
        assert counted == {failed.id: (2, 0), died.id: (1, 1), had_died.id: (1, 0)}

    def test_requeue_burns_no_attempt(self, store: Broker) -> None:
        sent = jobs(3, attempt=1)
        store.enqueue(sent, now=NOW)
        before = claim(store)
        assert store.requeue(before, ALICE) == []
        after = claim(store)
        assert [(lease.id, lease.attempt, lease.crashes) for lease in after] == [(id, 1, 0) for id in ids(sent)]
        assert all(new.claim > old.claim for new, old in zip(after, before, strict=True))

    @pytest.mark.parametrize("ending", [Ending.RELEASED, Ending.RETRY, Ending.SNOOZE])
    def test_a_job_that_goes_on_may_get_a_new_payload(self, store: Broker, ending: Ending) -> None:
        store.enqueue([job(items=5, packed=True)], now=NOW)
        end(store, claim_one(store), ending, payload=b"the rest", items=2)
        store.promote(now=NOW)
        lease = claim_one(store)
        assert (lease.payload, lease.items, lease.packed) == (b"the rest", 2, True)
        end(store, lease, ending)
        store.promote(now=NOW)
        lease = claim_one(store)
        assert (lease.payload, lease.items) == (b"the rest", 2)

    def test_dead_letters_are_kept_with_their_failure(self, store: Broker) -> None:
        sent = job()
        store.enqueue([sent], now=NOW)
        end(store, claim_one(store), Ending.DEAD, failure=FAILURE)
        stored = record(store, sent.id)
        assert (stored.state, stored.failure, stored.payload) == (State.DEAD, FAILURE, sent.payload)
        assert claim(store, now=NOW + 1e6) == []
        assert store.depth(QUEUE) == 0

    def test_cancelled_jobs_do_not_run(self, store: Broker) -> None:
        sent = job()
        store.enqueue([sent], now=NOW)
        end(store, claim_one(store), Ending.CANCELLED)
        assert state(store, sent.id) is State.CANCELLED
        assert claim(store, now=NOW + 1e6) == []

    @by_record
    def test_parked_jobs_wait_for_a_worker_that_knows_their_task(self, store: Broker) -> None:
        known, unknown = job(task="known"), job(task="unknown", attempt=1)
        store.enqueue([known, unknown], now=NOW)
        for lease in claim(store):
            end(store, lease, Ending.PARKED)
        assert claim(store) == []
        assert state(store, unknown.id) is State.PARKED
        assert store.unpark([]) == 0
        assert store.unpark(["something else"]) == 0
        assert store.unpark(["unknown", "something else"]) == 1
        lease = claim_one(store)
        assert (lease.id, lease.attempt) == (unknown.id, 1)
        assert store.unpark(["unknown", "known"]) == 1
        assert claim_one(store).id == known.id

    @by_record
    def test_one_exchange_takes_every_kind_of_ending(self, store: Broker) -> None:
        sent = jobs(len(Ending) + 1)
        store.enqueue(sent, now=NOW)
        leases = claim(store)
        late = leases.pop()
        end(store, late)
        waiting = job()
        store.enqueue([waiting], now=NOW)
        outcomes = [
            Outcome(lease, ending, delay=60.0, failure=FAILURE) for lease, ending in zip(leases, Ending, strict=True)
        ]
        outcomes.insert(3, Outcome(late, Ending.DEAD, failure=FAILURE))
        given = store.exchange(outcomes, [QUEUE], 10, ALICE, now=NOW)
        assert given.stale == [outcomes[3]]
        assert ids(given.leases) == [sent[Ending.RELEASED].id, waiting.id]
        assert [state(store, id) for id in ids(sent)] == [
            State.DONE,
            State.DELAYED,
            State.DELAYED,
            State.DEAD,
            State.CANCELLED,
            State.PARKED,
            State.RUNNING,
            State.DONE,
        ]

    def test_an_ending_handed_in_twice_counts_once(self, store: Broker) -> None:
        store.enqueue(jobs(1), now=NOW)
        done = Outcome(claim_one(store), follow_ups=(job(task="after"),))
        assert hand_in(store, done) == []
        assert hand_in(store, done) == [done]
        assert [lease.task for lease in claim(store)] == ["after"]

    @by_record
    def test_follow_ups_commit_with_their_outcome(self, store: Broker) -> None:
        store.enqueue(jobs(2), now=NOW)
        first, second = claim(store)
        plain, late = job(task="plain"), job(task="late", run_at=NOW + 60)
        dead = job(task="dead", dead=True, failure=FAILURE, item=4)
        end(store, first, follow_ups=(plain, late, dead))
        end(store, second, Ending.RELEASED, payload=b"rest", follow_ups=(other := job(task="other"),))
        assert [state(store, one.id) for one in (plain, late, dead, other)] == [
            State.READY,
            State.DELAYED,
            State.DEAD,
            State.READY,
        ]
        stored = record(store, dead.id)
        assert (stored.failure, stored.item) == (FAILURE, 4)
        assert {lease.task for lease in claim(store)} == {"app.task", "plain", "other"}

    def test_a_follow_up_can_be_claimed_by_the_same_exchange_or_the_next(self, store: Broker) -> None:
        store.enqueue(jobs(1), now=NOW)
        follow_up = job()
        done = Outcome(claim_one(store), follow_ups=(follow_up,))
        given = store.exchange([done], [QUEUE], 10, ALICE, now=NOW)
        assert ids([*given.leases, *claim(store)]) == [follow_up.id]

    def test_a_follow_up_that_can_not_be_stored_keeps_its_ending_out(self, store: Broker) -> None:
        store.enqueue(jobs(2), now=NOW)
        first, second = claim(store)
        good, wrong = job(task="good"), job(task="\ud800")
        with pytest.raises((PenstockError, ValueError)):
            hand_in(store, Outcome(first), Outcome(second, follow_ups=(good, wrong)))
        assert claim(store) == []
        end(store, second)
        assert hand_in(store, Outcome(second)) != []
        assert claim(store) == []

    @by_record
    def test_a_follow_up_that_is_stored_already_is_left_as_it_is(self, store: Broker) -> None:
        first, there = job(), job(payload=b"there")
        store.enqueue([first, there], now=NOW)
        (lease,) = claim(store, 1)
        end(store, lease, follow_ups=(job(id=there.id, payload=b"new"),))
        assert claim_one(store).payload == b"there"

    @pytest.mark.parametrize("text", ["", "nul\x00byte", "lone \udcff surrogate", "📦" * 10_000])
    def test_a_failure_may_say_anything(self, store: Broker, text: str) -> None:
        sent = job()
        store.enqueue([sent], now=NOW)
        end(store, claim_one(store), Ending.DEAD, failure=Failure("E", text, text))
        stored = record(store, sent.id)
        assert stored.failure is not None
        assert stored.failure.message.startswith(text[:3])
