"""Results, kept for a while."""

from __future__ import annotations

import pytest

from penstock.brokers.base import Broker
from penstock.core.outcome import Ending, Outcome
from penstock.core.states import State
from penstock.testing.contract.harness import (
    NOW,
    ContractBase,
    by_record,
    claim,
    claim_one,
    end,
    hand_in,
    job,
    jobs,
    new_id,
    state,
)


class ResultContract(ContractBase):
    """A result is kept for its time to live, and pruned after."""

    @pytest.mark.parametrize("value", [b"", b"\xc0", b"x" * 1_000_000])
    def test_a_result_is_kept_for_its_time(self, store: Broker, value: bytes) -> None:
        sent = job()
        store.enqueue([sent], now=NOW)
        lease = claim_one(store)
        assert store.inspector().result(sent.id, now=NOW) is None
        end(store, lease, result=value, result_ttl=60.0)
        assert store.inspector().result(sent.id, now=NOW + 59) == value
        assert store.inspector().result(sent.id, now=NOW + 61) is None
        assert state(store, sent.id) is State.DONE
        assert claim(store) == []

    def test_expired_results_are_pruned(self, store: Broker) -> None:
        store.enqueue(jobs(3), now=NOW)
        short, long, none = claim(store)
        end(store, short, result=b"1", result_ttl=10.0)
        end(store, long, result=b"2", result_ttl=100.0)
        end(store, none)
        assert store.prune(now=NOW + 9) == 0
        assert store.prune(now=NOW + 11) == 1
        assert store.prune(now=NOW + 11) == 0
        assert store.inspector().result(short.id, now=NOW) is None
        assert store.inspector().result(long.id, now=NOW + 11) == b"2"
        assert store.prune(now=NOW + 101) == 1

    @by_record
    def test_prune_leaves_everything_else_alone(self, store: Broker) -> None:
        store.enqueue(jobs(4), now=NOW)
        ready, running, dead, delayed = claim(store)
        end(store, ready, Ending.RELEASED)
        end(store, dead, Ending.DEAD)
        end(store, delayed, Ending.SNOOZE, delay=5.0)
        assert store.prune(now=NOW + 60) == 0
        assert [state(store, one.id) for one in (ready, running, dead, delayed)] == [
            State.READY,
            State.RUNNING,
            State.DEAD,
            State.DELAYED,
        ]

    def test_no_result_of_an_unknown_job(self, store: Broker) -> None:
        assert store.inspector().result(new_id(), now=NOW) is None

    def test_the_first_result_stands(self, store: Broker) -> None:
        store.enqueue(jobs(1), now=NOW)
        lease = claim_one(store)
        end(store, lease, result=b"first", result_ttl=60.0)
        late = Outcome(lease, result=b"second", result_ttl=60.0)
        assert hand_in(store, late) == [late]
        assert store.inspector().result(lease.id, now=NOW) == b"first"

    def test_a_job_that_runs_anew_under_its_id_leaves_its_new_result(self, store: Broker) -> None:
        sent = job()
        for value in (b"old", b"new"):
            store.enqueue([sent], now=NOW)
            leases = claim(store)
            if leases:
                end(store, leases[0], result=value, result_ttl=60.0)
        assert store.inspector().result(sent.id, now=NOW) in {b"old", b"new"}
        assert claim(store) == []
