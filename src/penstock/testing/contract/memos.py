"""What running jobs note for their next run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from penstock.brokers.base import Broker
from penstock.core.ids import uuid7
from penstock.core.memo import Memo, memo_id
from penstock.core.outcome import Ending
from penstock.testing.contract.harness import (
    ALICE,
    BOB,
    NOW,
    ContractBase,
    by_record,
    claim,
    claim_one,
    end,
    job,
    jobs,
    new_id,
)

_DAY = 86_400.0


class MemoContract(ContractBase):
    """A memo is kept while its writer's lease is in force, read by its id, and outlives the lease."""

    @pytest.mark.parametrize("value", [b"", b"\xc0", b"x" * 1_000_000])
    def test_a_memo_is_kept_for_its_time(self, store: Broker, value: bytes) -> None:
        store.enqueue([job()], now=NOW)
        lease = claim_one(store)
        id = memo_id(lease.id, "checkpoint")
        assert store.inspector().result(id, now=NOW) is None
        assert store.memos().keep([Memo(lease, id, value, 60.0)], now=NOW) == [True]
        assert store.inspector().result(id, now=NOW + 59) == value
        assert store.inspector().result(id, now=NOW + 61) is None

    def test_the_last_one_counts(self, store: Broker) -> None:
        store.enqueue([job()], now=NOW)
        lease = claim_one(store)
        id = memo_id(lease.id, "checkpoint")
        for value in (b"1", b"22", b"3"):
            assert store.memos().keep([Memo(lease, id, value, 60.0)], now=NOW) == [True]
        assert store.inspector().result(id, now=NOW) == b"3"

    @by_record
    def test_the_next_run_of_the_job_goes_on_with_it(self, store: Broker, open_store: Callable[..., Broker]) -> None:
        store.enqueue([job()], now=NOW)
        lease = claim_one(store)
        id = memo_id(lease.id, "checkpoint")
        store.memos().keep([Memo(lease, id, b"1")], now=NOW)
        end(store, lease, Ending.RETRY)
        other = open_store()
        again = claim_one(other, holder=BOB)
        assert other.inspector().result(id, now=NOW + _DAY) == b"1"
        assert other.memos().keep([Memo(again, id, b"2")], now=NOW) == [True]
        assert store.inspector().result(id, now=NOW) == b"2"

    @by_record
    def test_whoever_lost_the_lease_writes_nothing(self, store: Broker, open_store: Callable[..., Broker]) -> None:
        store.enqueue([job()], now=NOW)
        lost = claim_one(store)
        id = memo_id(lost.id, "checkpoint")
        store.memos().keep([Memo(lost, id, b"old")], now=NOW)
        store.abandon(ALICE, [lost.id])
        assert store.memos().keep([Memo(lost, id, b"between")], now=NOW) == [False]
        other = open_store()
        lease = claim_one(other, holder=BOB)
        assert other.memos().keep([Memo(lease, id, b"new")], now=NOW) == [True]
        assert store.memos().keep([Memo(lost, id, b"late")], now=NOW) == [False]
        assert store.inspector().result(id, now=NOW) == b"new"

    def test_whose_job_has_ended_writes_nothing(self, store: Broker) -> None:
        store.enqueue([job()], now=NOW)
        lease = claim_one(store)
        id = memo_id(lease.id, "progress")
        end(store, lease)
        assert store.memos().keep([Memo(lease, id, b"late")], now=NOW) == [False]
        assert store.inspector().result(id, now=NOW) is None

    @by_record
    def test_several_at_a_time_are_each_judged_alone(self, store: Broker) -> None:
        store.enqueue(jobs(3), now=NOW)
        leases = claim(store)
        memos = [Memo(lease, memo_id(lease.id, "progress"), b"1") for lease in leases]
        end(store, leases[1])
        assert store.memos().keep(memos, now=NOW) == [True, False, True]
        assert [store.inspector().result(memo.id, now=NOW) for memo in memos] == [b"1", None, b"1"]
        assert store.memos().keep([], now=NOW) == []

    def test_a_job_has_several(self, store: Broker) -> None:
        store.enqueue([job()], now=NOW)
        lease = claim_one(store)
        first, second, third = (memo_id(lease.id, name) for name in ("step:a", "step:b", "step:c"))
        store.memos().keep([Memo(lease, first, b"1"), Memo(lease, second, b"2"), Memo(lease, third, b"3")], now=NOW)
        store.memos().discard([first, third, uuid7(0, new_id()[:10])])
        found = [store.inspector().result(id, now=NOW) for id in (first, second, third)]
        assert found == [None, b"2", None]

    def test_it_is_no_result_of_the_job(self, store: Broker) -> None:
        store.enqueue([job()], now=NOW)
        lease = claim_one(store)
        store.memos().keep([Memo(lease, memo_id(lease.id, "progress"), b"1")], now=NOW)
        assert store.inspector().result(lease.id, now=NOW) is None
        end(store, lease, result=b"done", result_ttl=60.0)
        assert store.inspector().result(lease.id, now=NOW) == b"done"

    def test_memos_that_have_expired_are_pruned(self, store: Broker) -> None:
        store.enqueue([job()], now=NOW)
        lease = claim_one(store)
        store.memos().keep([Memo(lease, memo_id(lease.id, "progress"), b"1", 10.0)], now=NOW)
        assert store.prune(now=NOW + 9) == 0
        assert store.prune(now=NOW + 11) == 1
