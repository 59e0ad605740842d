"""Limits of rate and concurrency."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from penstock.brokers.base import Backlog, Broker
from penstock.brokers.inspect import Selection
from penstock.core.job import Failure, Holder
from penstock.core.limiter import Limit
from penstock.core.outcome import Ending, Outcome
from penstock.core.states import State
from penstock.testing.contract.harness import (
    ALICE,
    BOB,
    NOW,
    PATIENCE,
    QUEUE,
    ContractBase,
    by_record,
    claim,
    claim_one,
    hand_in,
    ids,
    job,
    jobs,
    record,
    rescue_from,
    state,
)
from penstock.testing.contract.listening import listening

FAILURE = Failure("E", "m")


def declare(store: Broker, **limits: Limit | None) -> None:
    """Set the limits of tasks."""
    store.declare(dict(limits))


def took(store: Broker, after: float, limit: int = 1000) -> int:
    """How many jobs a claim gives some seconds after the beginning."""
    return len(claim(store, limit, now=NOW + after))


class LimitContract(ContractBase):
    """What is limited starts no faster and runs in no greater number than it may, and holds up nothing else."""

    # Rates

    def test_a_rate_spaces_jobs_evenly(self, store: Broker) -> None:
        declare(store, t=Limit("2/s"))
        store.enqueue(jobs(9, gate="t"), now=NOW)
        assert [took(store, after) for after in (0.0, 0.1, 0.49, 0.51, 0.52, 0.99, 1.02)] == [1, 0, 0, 1, 0, 0, 1]

    def test_after_a_pause_a_burst_may_start_and_no_more(self, store: Broker) -> None:
        declare(store, t=Limit("2/s", burst=3))
        store.enqueue(jobs(50, gate="t"), now=NOW)
        assert [took(store, after) for after in (0.0, 0.0, 0.5, 1.0)] == [3, 0, 1, 1]
        assert [took(store, after) for after in (3600.0, 3600.0, 3600.5, 3601.5)] == [3, 0, 1, 2]

    def test_no_more_start_in_the_long_run_than_the_rate_says(self, store: Broker) -> None:
        declare(store, t=Limit("600/m", burst=2))
        store.enqueue(jobs(200, gate="t"), now=NOW)
        started = sum(took(store, tick * 0.037) for tick in range(271))
        assert 99 <= started <= 102

    @by_record
    def test_one_learns_when_the_next_may_start(self, store: Broker) -> None:
        declare(store, t=Limit("1/m"))
        store.enqueue(jobs(2, gate="t"), now=NOW)
        assert took(store, 0) == 1
        assert took(store, 1) == 0
        assert store.promote(now=NOW + 2) == pytest.approx(58, abs=0.01)
        store.enqueue([job(run_at=NOW + 30)], now=NOW)
        assert store.promote(now=NOW + 3) == pytest.approx(27, abs=0.01)

    def test_what_did_not_run_is_not_counted(self, store: Broker) -> None:
        declare(store, t=Limit("1/m", burst=4))
        store.enqueue(jobs(6, gate="t"), now=NOW)
        leases = claim(store)
        assert len(leases) == 4
        assert store.exchange([Outcome(one, Ending.RELEASED) for one in leases[1:]], (), 0, ALICE, now=NOW).stale == []
        again = claim(store)
        assert ids(again) == ids(leases[1:])

    def test_a_clock_that_was_set_back_closes_no_gate_for_long(self, store: Broker) -> None:
        declare(store, t=Limit("1/s"))
        store.enqueue(jobs(5, gate="t"), now=NOW)
        store.promote(now=NOW)
        assert took(store, 0) == 1
        store.promote(now=NOW - 3600)
        assert took(store, -3600) == 0
        store.promote(now=NOW - 3599)
        assert took(store, -3598.9) == 1

    # Concurrency

    def test_no_more_run_than_may(self, store: Broker, open_store: Callable[..., Broker]) -> None:
        declare(store, t=Limit(concurrency=3))
        sent = jobs(8, gate="t")
        store.enqueue(sent, now=NOW)
        other = open_store()
        first = claim(store, 2)
        second = claim(other, holder=BOB)
        assert (len(first), len(second)) == (2, 1)
        assert claim(other, holder=BOB) == []
        third = store.exchange([Outcome(first[0])], [QUEUE], 10, ALICE, now=NOW).leases
        assert ids([*first, *second, *third]) == ids(sent[:4])

    @pytest.mark.parametrize("ending", list(Ending))
    def test_every_ending_frees_the_place(self, store: Broker, ending: Ending) -> None:
        declare(store, t=Limit(concurrency=1))
        sent = jobs(2, gate="t")
        store.enqueue(sent, now=NOW)
        first = claim_one(store)
        assert claim(store) == []
        outcome = Outcome(first, ending, delay=9.0, failure=FAILURE)
        (second,) = store.exchange([outcome], [QUEUE], 9, ALICE, now=NOW).leases
        assert second.id == sent[0 if ending is Ending.RELEASED else 1].id
        assert claim(store) == []

    @pytest.mark.parametrize("way", ["abandon", "depart", "rescue"])
    def test_a_death_frees_the_places(self, store: Broker, way: str) -> None:
        declare(store, t=Limit(concurrency=2))
        sent = [*jobs(1, gate="t", at_most_once=True), *jobs(3, gate="t")]
        store.enqueue(sent, now=NOW)
        assert len(claim(store)) == 2
        assert claim(store, holder=BOB) == []
        if way == "abandon":
            store.abandon(ALICE)
        elif way == "depart":
            store.depart(ALICE.worker)
        else:
            rescue_from(store, ALICE)
        assert ids(claim(store, holder=BOB, now=NOW + 12)) == ids(sent[1:3])

    def test_a_limit_holds_in_all_queues_together(self, store: Broker) -> None:
        declare(store, t=Limit(concurrency=1))
        store.enqueue([job(gate="t"), job(gate="t", queue="b")], now=NOW)
        (first,) = claim(store, queues=[QUEUE, "b"])
        assert claim(store, queues=[QUEUE, "b"], holder=BOB) == []
        assert hand_in(store, Outcome(first)) == []
        (second,) = claim(store, queues=[QUEUE, "b"], holder=BOB)
        assert {first.queue, second.queue} == {QUEUE, "b"}

    # Keys, and what is not limited

    def test_every_key_has_a_limit_of_its_own(self, store: Broker) -> None:
        declare(store, t=Limit("1/m", concurrency=2))
        store.enqueue([job(gate=f"t,{key}") for key in "aabbç " for _ in range(2)], now=NOW)
        assert sorted(one.gate or "" for one in claim(store)) == ["t, ", "t,a", "t,b", "t,ç"]
        assert claim(store, now=NOW + 1) == []

    def test_among_many_keys_none_is_left_out(self, store: Broker) -> None:
        declare(store, t=Limit(concurrency=1))
        store.enqueue([job(gate=f"t,{number}") for number in range(80) for _ in range(2)], now=NOW)
        found = [one.gate for _ in range(40) for one in claim(store, 4)]
        assert len(found) == len(set(found)) == 80

    def test_keys_take_turns(self, store: Broker) -> None:
        declare(store, t=Limit(concurrency=1))
        for key in "ab":
            store.enqueue(jobs(10, gate=f"t,{key}"), now=NOW)
        outcomes: list[Outcome] = []
        seen: list[str | None] = []
        for turn in range(12):
            (lease,) = store.exchange(outcomes, [QUEUE], 1, ALICE, now=NOW + turn).leases
            outcomes = [Outcome(lease)]
            seen.append(lease.gate)
        assert 4 <= seen.count("t,a") <= 8

    def test_limited_jobs_hold_up_no_others(self, store: Broker) -> None:
        declare(store, t=Limit("1/h", concurrency=1))
        store.enqueue(jobs(2000, gate="t", priority=9), now=NOW)
        others = jobs(20)
        store.enqueue(others, now=NOW)
        got = [one for _ in range(12) for one in claim(store, 2)]
        assert [one.gate for one in got].count("t") == 1
        assert ids([one for one in got if one.gate is None]) == ids(others)

    def test_neither_limited_nor_other_jobs_starve(self, store: Broker) -> None:
        declare(store, t=Limit(concurrency=1000))
        store.enqueue([*jobs(50, gate="t"), *jobs(50)], now=NOW)
        got = [claim_one_of(store) for _ in range(40)]
        assert 10 <= got.count("t") <= 30

    def test_jobs_pass_a_gate_in_order(self, store: Broker) -> None:
        declare(store, t=Limit(concurrency=1))
        low, middle, high = (jobs(2, gate="t", priority=priority) for priority in (1, 5, 9))
        for some in (middle, low, high):
            store.enqueue(some, now=NOW)
        seen = []
        for _ in range(6):
            lease = claim_one(store)
            seen.append(lease.id)
            assert hand_in(store, Outcome(lease)) == []
        assert seen == ids([*high, *middle, *low])

    # Queues

    def test_a_queue_may_be_limited(self, store: Broker) -> None:
        store.declare({",mail": Limit(concurrency=2)})
        store.enqueue([*jobs(5, queue="mail"), *jobs(1, queue="mails"), *jobs(1)], now=NOW)
        leases = claim(store, queues=["mail", QUEUE, "mails"])
        assert sorted(one.queue for one in leases) == [QUEUE, "mail", "mail", "mails"]
        assert claim(store, queues=["mail"]) == []
        ended = next(one for one in leases if one.queue == "mail")
        assert hand_in(store, Outcome(ended)) == []
        assert len(claim(store, queues=["mail"])) == 1

    def test_a_queue_may_have_a_rate(self, store: Broker) -> None:
        store.declare({",mail": Limit("1/s")})
        store.enqueue(jobs(5, queue="mail"), now=NOW)
        counts = [len(claim(store, queues=["mail"], now=NOW + after)) for after in (0.0, 0.1, 0.9, 1.1, 1.2)]
        assert counts == [1, 0, 0, 1, 0]
        assert store.promote(now=NOW + 1.5) == pytest.approx(0.6, abs=0.01)

    def test_a_limit_of_the_queue_counts_limited_tasks_too(self, store: Broker) -> None:
        store.declare({",mail": Limit(concurrency=2), "t": Limit(concurrency=1)})
        store.enqueue([*jobs(3, queue="mail"), *jobs(3, queue="mail", gate="t")], now=NOW)
        leases = claim(store, queues=["mail"]) + claim(store, queues=["mail"])
        assert len(leases) == 2
        assert [one.gate for one in leases].count("t") <= 1
        for lease in leases:
            assert hand_in(store, Outcome(lease)) == []
        assert len(claim(store, queues=["mail"])) == 2

    # Changes of limits

    def test_a_changed_limit_holds_from_then_on(self, store: Broker, open_store: Callable[..., Broker]) -> None:
        declare(store, t=Limit("1/h"), u=Limit(concurrency=1))
        store.enqueue([*jobs(9, gate="t"), *jobs(9, gate="u")], now=NOW)
        assert len(claim(store)) == 2
        other = open_store()
        other.declare({"t": Limit("10/s", burst=5), "v": Limit(concurrency=1)})
        assert [took(store, after) for after in (10.0, 10.2)] == [5, 2]
        other.declare({"u": Limit(concurrency=4)})
        assert took(store, 10.2) == 3

    def test_a_limit_that_is_lifted_lets_all_pass(self, store: Broker) -> None:
        declare(store, t=Limit("1/h"))
        store.enqueue(jobs(9, gate="t"), now=NOW)
        assert took(store, 0) == 1
        assert took(store, 1) == 0
        declare(store, t=None)
        assert took(store, 2) == 8
        store.enqueue(jobs(2, gate="never limited"), now=NOW)
        assert took(store, 3) == 2

    # Where limited jobs are seen

    @by_record
    def test_limited_jobs_are_ready_jobs_of_their_queue(self, store: Broker) -> None:
        declare(store, t=Limit(concurrency=1))
        sent = [*jobs(3, gate="t,k", queue="mail"), job(gate="t,k", queue="mail", run_at=NOW + 60), job(queue="mail")]
        store.enqueue(sent, now=NOW)
        claim(store, 1, queues=["mail"])
        assert store.depth("mail") + len(store.held(ALICE)) == 4
        assert store.depth(QUEUE) == store.depth("mai") == 0
        (counted,) = store.inspector().count()
        assert (counted.queue, counted.ready, counted.running, counted.delayed) == ("mail", 3, 1, 1)
        assert ids(store.inspector().list(Selection(queue="mail"))) == ids(sent)
        assert store.inspector().list(Selection(queue="mai")) == []
        shown = record(store, sent[1].id)
        assert (shown.queue, shown.gate, shown.state) == ("mail", "t,k", State.READY)
        assert store.purge("mail") == 4
        assert store.depth("mail") == 0

    def test_limited_jobs_are_cancelled_and_brought_back(self, store: Broker) -> None:
        declare(store, t=Limit(concurrency=1))
        sent = jobs(3, gate="t")
        store.enqueue(sent, now=NOW)
        lease = claim_one(store)
        assert store.inspector().cancel(Selection(queue=QUEUE, state=State.READY)) == 2
        assert hand_in(store, Outcome(lease)) == []
        assert claim(store) == []
        assert store.inspector().retry(Selection(ids=(sent[2].id,))) == 1
        assert ids(claim(store, now=NOW + 12)) == [sent[2].id]
        assert state(store, sent[1].id) is State.CANCELLED

    def test_limited_jobs_become_ready_in_every_way(self, store: Broker) -> None:
        declare(store, t=Limit(concurrency=5))
        late, parked, again = job(gate="t", run_at=NOW + 60), job(gate="t"), job(gate="t")
        store.enqueue([late, parked, again], now=NOW)
        leases = {one.id: one for one in claim(store)}
        assert claim(store) == []
        outcomes = [Outcome(leases[parked.id], Ending.PARKED), Outcome(leases[again.id], Ending.RETRY)]
        assert hand_in(store, *outcomes) == []
        assert ids(claim(store, now=NOW + 1)) == [again.id]
        assert store.unpark([parked.task]) == 1
        assert ids(claim(store, now=NOW + 2)) == [parked.id]
        store.promote(now=NOW + 60)
        assert ids(claim(store, now=NOW + 61)) == [late.id]

    @by_record
    def test_what_is_held_back_is_no_backlog(self, store: Broker) -> None:
        declare(store, t=Limit("1/h"))
        store.enqueue(jobs(9, gate="t"), now=NOW)
        assert store.backlog([QUEUE], now=NOW + 1).ready == 9
        claim(store)
        claim(store)
        store.enqueue(jobs(2), now=NOW + 3)
        assert store.backlog([QUEUE], now=NOW + 4) == Backlog(2, 1.0)

    def test_a_gate_that_opens_wakes_who_listens(self, store: Broker, open_store: Callable[..., Broker]) -> None:
        worker = open_store()
        declare(worker, t=Limit("1/h"))
        worker.enqueue(jobs(2, gate="t"), now=NOW)
        assert took(worker, 0) == 1
        assert took(worker, 1) == 0
        worker.promote(now=NOW + 10)
        woken = threading.Event()
        with listening(store, woken.set):
            worker.promote(now=NOW + 20)
            assert not woken.is_set()
            worker.promote(now=NOW + 3601)
            assert woken.wait(PATIENCE)

    def test_the_leases_tell_the_gate(self, store: Broker) -> None:
        declare(store, t=Limit(concurrency=2))
        store.enqueue(jobs(1, gate="t,k", queue="mail"), now=NOW)
        (lease,) = claim(store, queues=["mail"], holder=Holder("w", 3))
        assert (lease.queue, lease.gate) == ("mail", "t,k")
        assert store.held(Holder("w", 3)) == [lease]


def claim_one_of(store: Broker) -> str | None:
    """Take one job, of whatever line."""
    (lease,) = claim(store, 1)
    return lease.gate
