"""Order per key: jobs of one key are taken in the order in which they came, by one claim at a time."""

from __future__ import annotations

import itertools
import threading
from collections import defaultdict
from collections.abc import Callable

import pytest

from penstock.brokers.base import Broker
from penstock.core.job import Failure, Holder, NewJob
from penstock.core.limiter import Limit, gate
from penstock.core.outcome import Ending, Outcome
from penstock.core.states import State
from penstock.testing.contract.concurrency import in_threads
from penstock.testing.contract.harness import (
    ALICE,
    BOB,
    NOW,
    QUEUE,
    ContractBase,
    claim,
    claim_one,
    end,
    hand_in,
    ids,
    job,
    jobs,
    record,
    rescue_from,
    state,
)

FAILURE = Failure("E", "m")
AAPL = gate("store", "AAPL", ordered=True)
MSFT = gate("store", "MSFT", ordered=True)


def keyed(count: int, key: str = AAPL, **fields: object) -> list[NewJob]:
    """Jobs that keep the order of one key."""
    return jobs(count, gate=key, task="store", **fields)


class KeysBase(ContractBase):
    """What the tests of keys have in common."""

    @pytest.fixture(autouse=True)
    def declared(self, store: Broker) -> None:
        """As a worker of such a task does."""
        store.declare({"store": Limit(ordered=True)})


class KeyContract(KeysBase):
    """Nothing overtakes what came before it under the same key, and keys do not hold up one another."""

    # What a claim takes

    def test_a_claim_takes_as_many_of_a_key_as_it_asks_for_in_their_order(self, store: Broker) -> None:
        sent = keyed(5)
        store.enqueue(sent, now=NOW)
        leases = claim(store, 3)
        assert ids(leases) == ids(sent[:3])
        assert {(lease.gate, lease.queue) for lease in leases} == {(AAPL, QUEUE)}

    def test_while_any_is_out_nobody_gets_more_not_even_the_same_holder(self, store: Broker) -> None:
        sent = keyed(5)
        store.enqueue(sent, now=NOW)
        first, second = claim(store, 2)
        assert claim(store) == []
        assert claim(store, holder=BOB) == []
        end(store, first)
        assert claim(store) == []
        end(store, second)
        assert ids(claim(store, holder=BOB)) == ids(sent[2:])

    def test_an_exchange_that_ends_the_last_of_a_key_may_take_the_next(self, store: Broker) -> None:
        sent = keyed(4)
        store.enqueue(sent, now=NOW)
        ended = [Outcome(lease) for lease in claim(store, 2)]
        given = store.exchange(ended, [QUEUE], 10, ALICE, now=NOW)
        assert given.stale == []
        assert ids(given.leases or claim(store)) == ids(sent[2:])

    def test_what_comes_while_a_key_is_held_waits(self, store: Broker) -> None:
        (first,), later = keyed(1), keyed(2)
        store.enqueue([first], now=NOW)
        lease = claim_one(store)
        store.enqueue(later, now=NOW)
        assert claim(store, holder=BOB) == []
        end(store, lease)
        assert ids(claim(store, holder=BOB)) == ids(later)

    def test_keys_do_not_hold_up_one_another(self, store: Broker) -> None:
        apples, others = keyed(2), keyed(2, MSFT)
        store.enqueue(apples, now=NOW)
        assert ids(claim(store)) == ids(apples)
        store.enqueue(others, now=NOW)
        assert ids(claim(store, holder=BOB)) == ids(others)

    def test_they_hold_up_nothing_else_and_are_not_held_up(self, store: Broker) -> None:
        ordered, plain = keyed(20), jobs(20)
        store.enqueue([one for pair in zip(ordered, plain, strict=True) for one in pair], now=NOW)
        taken = [lease for _ in range(8) for lease in claim(store, 10)]
        assert ids([one for one in taken if one.gate is None]) == ids(plain)
        assert ids([one for one in taken if one.gate == AAPL]) == ids(ordered)[: len(taken) - 20]
        assert len(taken) > 20

    def test_two_queues_are_two_orders(self, store: Broker) -> None:
        store.enqueue([*keyed(1, queue="a"), *keyed(1, queue="b")], now=NOW)
        assert len(claim(store, queues=("a",))) == 1
        assert len(claim(store, queues=("b",))) == 1
        assert store.depth("a") == 0

    def test_priorities_do_not_count(self, store: Broker) -> None:
        sent = [job(gate=AAPL, priority=priority) for priority in (1, 9, 5, 0, 9)]
        store.enqueue(sent, now=NOW)
        assert ids([*claim(store, 2)]) == ids(sent[:2])

    @pytest.mark.parametrize("key", ["ключ", "a b,c=d", "📦", "%_\\'\"", "x" * 1000], ids=list("abcde"))
    def test_keys_are_any_text(self, store: Broker, key: str) -> None:
        first, other = gate("store", key, ordered=True), gate("store", f"{key}.", ordered=True)
        sent = [*keyed(2, first), *keyed(1, other)]
        store.enqueue(sent, now=NOW)
        leases = claim(store)
        assert sorted(ids(leases)) == sorted(ids(sent))
        assert [one.gate for one in leases].count(first) == 2
        assert record(store, sent[0].id).gate == first

    def test_many_keys_go_into_one_claim(self, store: Broker) -> None:
        sent = [job(gate=gate("store", number % 400, ordered=True)) for number in range(800)]
        store.enqueue(sent, now=NOW)
        taken: list[bytes] = []
        claims = 0
        while len(taken) < 800:
            leases = claim(store, 300)
            assert hand_in(store, *(Outcome(lease) for lease in leases)) == []
            taken += ids(leases)
            claims += 1
        assert claims <= 6
        assert sorted(taken) == sorted(ids(sent))

    # What keeps its place

    @pytest.mark.parametrize("ending", [Ending.RETRY, Ending.SNOOZE])
    def test_one_that_runs_again_is_not_overtaken(self, store: Broker, ending: Ending) -> None:
        sent, others = keyed(3), keyed(1, MSFT)
        store.enqueue(sent, now=NOW)
        (lease,) = claim(store, 1)
        end(store, lease, ending, delay=30, failure=FAILURE)
        assert claim(store, now=NOW + 1) == []
        store.enqueue(others, now=NOW + 1)
        assert ids(claim(store, now=NOW + 1)) == ids(others)
        assert store.promote(now=NOW + 10) == pytest.approx(20, abs=0.01)
        store.promote(now=NOW + 31)
        assert ids(claim(store, holder=BOB, now=NOW + 31)) == ids(sent)

    def test_one_that_runs_again_at_once_is_first_again(self, store: Broker) -> None:
        sent = keyed(3)
        store.enqueue(sent, now=NOW)
        (lease,) = claim(store, 1)
        end(store, lease, Ending.RETRY, failure=FAILURE)
        assert ids(claim(store)) == ids(sent)

    def test_a_retry_in_the_middle_keeps_what_is_behind_it_and_lets_the_first_go(self, store: Broker) -> None:
        sent = keyed(5)
        store.enqueue(sent, now=NOW)
        leases = claim(store, 4)
        hand_in(
            store,
            Outcome(leases[3], Ending.RELEASED),
            Outcome(leases[1], Ending.RETRY, delay=30, failure=FAILURE),
            Outcome(leases[2], Ending.RELEASED),
            Outcome(leases[0], Ending.RELEASED),
        )
        first = claim_one(store)
        assert first.id == sent[0].id
        end(store, first)
        assert claim(store) == []
        store.promote(now=NOW + 31)
        assert ids(claim(store, now=NOW + 31)) == ids(sent[1:])

    def test_two_retries_come_back_in_their_order(self, store: Broker) -> None:
        sent = keyed(3)
        store.enqueue(sent, now=NOW)
        one, two, three = claim(store)
        again = [(three, 5), (one, 20), (two, 40)]
        hand_in(store, *(Outcome(each, Ending.RETRY, delay=delay, failure=FAILURE) for each, delay in again))
        found = []
        for after in (6, 21, 41):
            store.promote(now=NOW + after)
            leases = claim(store, now=NOW + after)
            found += ids(leases)
            hand_in(store, *(Outcome(lease) for lease in leases), now=NOW + after)
        assert found == ids(sent)

    def test_what_is_given_back_is_where_it_was(self, store: Broker) -> None:
        sent = keyed(4)
        store.enqueue(sent, now=NOW)
        leases = claim(store, 3)
        assert store.requeue([leases[2], leases[0]], ALICE) == []
        assert claim(store, holder=BOB) == []
        assert store.requeue([leases[1]], ALICE) == []
        assert ids(claim(store, holder=BOB)) == ids(sent)

    def test_what_a_dead_process_held_comes_back_in_its_order(self, store: Broker) -> None:
        sent = [*keyed(4), *keyed(2, MSFT)]
        store.enqueue(sent, now=NOW)
        (first, *_) = claim(store, 3)
        end(store, first)
        assert store.abandon(ALICE, [sent[1].id]) == 2
        found = claim(store, holder=BOB)
        assert ids([one for one in found if one.gate == AAPL]) == ids(sent[1:4])
        assert ids([one for one in found if one.gate == MSFT]) == ids(sent[4:])

    def test_what_a_silent_worker_held_comes_back_in_its_order(self, store: Broker) -> None:
        sent = keyed(4)
        store.enqueue(sent, now=NOW)
        leases = claim(store, 3)
        assert rescue_from(store, ALICE) == 3
        assert ids(claim(store, holder=BOB)) == ids(sent)
        assert len(hand_in(store, *(Outcome(lease) for lease in leases))) == 3
        assert claim(store) == []

    def test_what_may_not_run_twice_dies_with_its_process_and_lets_the_next_go(self, store: Broker) -> None:
        sent = [*keyed(2, at_most_once=True), *keyed(2)]
        store.enqueue(sent, now=NOW)
        claim(store, 1)
        assert store.abandon(ALICE) == 1
        assert state(store, sent[0].id) is State.DEAD
        assert ids(claim(store)) == ids(sent[1:])

    def test_a_parked_one_keeps_its_place(self, store: Broker) -> None:
        sent = keyed(3)
        store.enqueue(sent, now=NOW)
        one, two = claim(store, 2)
        hand_in(store, Outcome(one), Outcome(two, Ending.PARKED))
        assert claim(store) == []
        assert store.unpark(["store"]) == 1
        assert ids(claim(store)) == ids(sent[1:])

    # All at once

    def test_claimers_race_and_nothing_is_overtaken(self, store: Broker, open_store: Callable[..., Broker]) -> None:
        keys = [gate("store", number, ordered=True) for number in range(5)]
        stores = [open_store() for _ in range(4)]
        for each in stores:
            each.declare({"store": Limit(ordered=True)})
        sent: dict[str, list[bytes]] = {key: [] for key in keys}
        for _ in range(6):
            batch = [job(gate=key, task="store") for key in keys for _ in range(4)]
            store.enqueue(batch, now=NOW)
            for one in batch:
                sent[one.gate or ""].append(one.id)
        guard, done, ticks = threading.Lock(), defaultdict[str, list[bytes]](list), itertools.count()
        holds: dict[str, int] = {}

        def work(number: int) -> None:
            holder = Holder(f"w{number}")
            for _ in range(2000):
                if sum(len(ended) for ended in done.values()) == 120:
                    return
                leases = claim(stores[number], 7, holder=holder)
                with guard:
                    for key in {lease.gate or "" for lease in leases}:
                        assert holds.setdefault(key, number) == number
                outcomes: list[Outcome] = []
                again: set[str] = set()
                for lease in leases:
                    key = lease.gate or ""
                    ending = Ending.RELEASED if key in again else Ending.RETRY if next(ticks) % 5 == 4 else Ending.DONE
                    if ending is not Ending.DONE:
                        again.add(key)
                    outcomes.append(Outcome(lease, ending))
                with guard:
                    for outcome in outcomes:
                        if outcome.ending is Ending.DONE:
                            done[outcome.lease.gate or ""].append(outcome.lease.id)
                    for key in {lease.gate or "" for lease in leases}:
                        del holds[key]
                assert hand_in(stores[number], *outcomes, holder=holder) == []

        in_threads(work)
        assert done == sent
