"""Unique keys that are held in other ways than until their job's end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from penstock.brokers.base import Broker
from penstock.core.job import Dedup
from penstock.core.limiter import gate
from penstock.core.outcome import Ending
from penstock.core.states import State
from penstock.testing.contract.harness import (
    NOW,
    ContractBase,
    by_record,
    claim,
    claim_one,
    end,
    ids,
    job,
    record,
    state,
)

WINDOW = Dedup(window=60.0)
STARTED = Dedup(started=True)
REPLACE = Dedup(replace=True)
DEBOUNCE = Dedup(started=True, replace=True)


class DedupContract(ContractBase):
    """A key is held for a time, or until its job is started; and a job that waits gives way to a later one."""

    def test_a_key_is_held_for_its_time(self, store: Broker, open_store: Callable[..., Broker]) -> None:
        first = job(unique="k", dedup=WINDOW)
        assert store.enqueue([first], now=NOW) == [first.id]
        assert store.enqueue([first], now=NOW) == [first.id]
        end(store, claim_one(store))
        assert store.enqueue([job(unique="k", dedup=WINDOW)], now=NOW + 59) == [first.id]
        assert open_store().enqueue([job(unique="k", dedup=WINDOW)], now=NOW + 59) == [first.id]
        assert claim(store) == []
        other, later = job(unique="other", dedup=WINDOW), job(unique="k", dedup=WINDOW)
        assert store.enqueue([other, later], now=NOW + 61) == [other.id, later.id]
        assert ids(claim(store)) == [other.id, later.id]
        assert store.enqueue([job(unique="k", dedup=WINDOW)], now=NOW + 62) == [later.id]

    def test_a_window_outlasts_no_more_than_its_time(self, store: Broker) -> None:
        first, second = job(unique="k", dedup=WINDOW), job(unique="k", dedup=WINDOW)
        store.enqueue([first], now=NOW)
        assert store.enqueue([second], now=NOW + 61) == [second.id]
        assert ids(claim(store)) == [first.id, second.id]

    def test_twins_in_one_call(self, store: Broker) -> None:
        first, twin = job(unique="k", dedup=WINDOW), job(unique="k", dedup=WINDOW)
        assert store.enqueue([first, twin], now=NOW) == [first.id, first.id]
        assert ids(claim(store)) == [first.id]

    def test_a_key_that_is_held_until_the_start(self, store: Broker) -> None:
        first = job(unique="k", dedup=STARTED)
        assert store.enqueue([first], now=NOW) == [first.id]
        assert store.enqueue([job(unique="k", dedup=STARTED)], now=NOW) == [first.id]
        lease = claim_one(store)
        second = job(unique="k", dedup=STARTED)
        assert store.enqueue([second], now=NOW) == [second.id]
        assert store.enqueue([job(unique="k", dedup=STARTED)], now=NOW) == [second.id]
        end(store, lease)
        assert ids(claim(store)) == [second.id]

    def test_a_job_that_started_and_is_to_run_again_holds_its_key_no_more(self, store: Broker) -> None:
        store.enqueue([job(unique="k", dedup=STARTED)], now=NOW)
        lease = claim_one(store)
        second = job(unique="k", dedup=STARTED)
        store.enqueue([second], now=NOW)
        end(store, lease, Ending.RETRY)
        assert sorted(ids(claim(store))) == sorted([lease.id, second.id])
        assert store.enqueue([job(unique="k")], now=NOW) == [second.id]

    @by_record
    @pytest.mark.parametrize("delay", [None, 60.0])
    def test_a_job_that_waits_gives_way(self, store: Broker, delay: float | None) -> None:
        first = job(unique="k", dedup=DEBOUNCE, delay=delay, payload=b"first")
        assert store.enqueue([first], now=NOW) == [first.id]
        for number in range(3):
            later = job(unique="k", dedup=DEBOUNCE, delay=30.0, payload=f"{number}".encode())
            assert store.enqueue([later], now=NOW + number) == [first.id]
        found = record(store, first.id)
        assert (found.payload, found.state, found.run_at) == (b"2", State.DELAYED, NOW + 32)
        assert claim(store, now=NOW + 3) == []
        store.promote(now=NOW + 33)
        (lease,) = claim(store, now=NOW + 33)
        assert (lease.id, lease.payload, lease.attempt) == (first.id, b"2", 0)
        assert store.depth("default") == 0
        end(store, lease)
        assert claim(store, now=NOW + 99) == []

    @by_record
    def test_it_goes_where_the_later_one_wants_to(self, store: Broker) -> None:
        first = job(unique="k", dedup=REPLACE, queue="a", gate=gate("app.task", "ada", ordered=True))
        behind = job(queue="a", gate=gate("app.task", "ada", ordered=True))
        store.enqueue([first, behind], now=NOW)
        later = job(unique="k", dedup=REPLACE, queue="b", priority=9, payload=b"later")
        assert store.enqueue([later], now=NOW) == [first.id]
        assert ids(claim(store, queues=["a"])) == [behind.id]
        (lease,) = claim(store, queues=["b"])
        assert (lease.id, lease.payload, lease.priority) == (first.id, b"later", 9)

    def test_one_that_runs_does_not_give_way(self, store: Broker) -> None:
        first = job(unique="k", dedup=REPLACE)
        store.enqueue([first], now=NOW)
        lease = claim_one(store)
        later = job(unique="k", dedup=REPLACE, payload=b"later")
        assert store.enqueue([later], now=NOW) == [first.id]
        assert claim(store) == []
        end(store, lease)
        assert state(store, first.id) is State.DONE
        debounced = job(unique="k", dedup=DEBOUNCE)
        assert store.enqueue([debounced], now=NOW) == [debounced.id]

    @by_record
    def test_all_of_them_together(self, store: Broker) -> None:
        first, second = job(unique="a", dedup=REPLACE, payload=b"1"), job(unique="a", dedup=REPLACE, payload=b"2")
        plain, window = job(), job(unique="a", dedup=WINDOW)
        assert store.enqueue([first, plain, second, window], now=NOW) == [first.id, plain.id, first.id, window.id]
        found = {lease.id: lease.payload for lease in claim(store)}
        assert found == {first.id: b"2", plain.id: b"payload", window.id: b"payload"}

    @pytest.mark.parametrize("dedup", [WINDOW, STARTED, DEBOUNCE], ids=["window", "started", "debounce"])
    def test_many_that_send_at_the_same_time_get_one_job(
        self, store: Broker, open_store: Callable[..., Broker], dedup: Dedup
    ) -> None:
        senders = [open_store() for _ in range(4)]
        together = threading.Barrier(len(senders))

        def send(sender: Broker) -> list[bytes]:
            together.wait(30)
            return [sender.enqueue([job(unique=f"{n}", dedup=dedup)], now=NOW)[0] for n in range(5)]

        with ThreadPoolExecutor(len(senders)) as pool:
            stood = list(pool.map(send, senders))
        assert all(one == stood[0] for one in stood)
        assert sorted(lease.id for lease in claim(store)) == sorted(stood[0])
        assert store.depth("default") == 0
