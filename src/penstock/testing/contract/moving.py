"""Jobs that leave for another store and arrive in it: with all that is known of them, once, and in their order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import pytest

from penstock.brokers.base import Broker
from penstock.brokers.inspect import BatchRecord, Selection
from penstock.brokers.transfer import Arrival, Left
from penstock.core.job import Failure, JobRecord
from penstock.core.limiter import Limit, gate
from penstock.core.outcome import Ending, Outcome, Step
from penstock.core.shipment import Shipment
from penstock.core.states import State
from penstock.testing.contract.concurrency import THREADS, in_threads
from penstock.testing.contract.harness import (
    ALICE,
    BOB,
    NOW,
    QUEUE,
    ContractBase,
    claim,
    claim_one,
    end,
    ids,
    job,
    jobs,
    needs_records,
    new_id,
    record,
    rescue_from,
    state,
    with_namespace,
)

FAILURE = Failure("E", "no such café", "a traceback")
AAPL = gate("store", "AAPL", ordered=True)
MSFT = gate("store", "MSFT", ordered=True)
#: Seconds by which a time may differ that another store has kept.
_GRAIN = 1e-3


def ship(store: Broker, other: Broker, most: int = 1000, queues: Sequence[str] | None = None) -> Shipment | None:
    """Let some jobs leave for another store."""
    found = store.transfer().ship(other.transfer().name(), "elsewhere", queues, most, now=NOW)
    return None if found is None else found[1]


def move(store: Broker, other: Broker, most: int = 1000, queues: Sequence[str] | None = None) -> list[Arrival]:
    """Move all that can be moved, as `penstock move` does; returns what became of each shipment."""
    source, destination = store.transfer(), other.transfer()
    arrivals: list[Arrival] = []
    while True:
        left = ship(store, other, most, queues)
        for number in [one.number for one in source.pending()]:
            shipment = source.shipment(number)
            assert shipment is not None
            arrival = destination.receive(shipment)
            assert arrival is not None
            arrivals.append(arrival)
            source.discard(number)
            destination.settle([shipment.id], now=NOW)
        if left is None:
            return arrivals


def told(found: JobRecord) -> JobRecord:
    """What is known of a job, without what some stores keep more exactly than others."""
    times = {name: getattr(found, name) for name in ("run_at", "ended_at")}
    rounded = {name: None if time is None else round(time / _GRAIN) for name, time in times.items()}
    return msgspec.structs.replace(found, created_at=0.0, worker=None, **rounded)


def drained(store: Broker) -> list[bytes]:
    """All jobs that can be had, each ended before more are taken."""
    seen: list[bytes] = []
    while leases := claim(store):
        seen += ids(leases)
        for lease in leases:
            end(store, lease)
    return seen


class MovingContract(ContractBase):
    """A shipment leaves whole and arrives whole, once."""

    @pytest.fixture
    def other(self, store: Broker, url: str, open_store: Callable[..., Broker]) -> Broker:
        """Where the jobs go."""
        # Of messages nothing can leave.
        needs_records(store)
        return open_store(with_namespace(url, "other"))

    # What goes

    def test_jobs_in_every_state_go_with_all_that_is_known_of_them(self, store: Broker, other: Broker) -> None:
        batch = new_id()
        sent = [
            job(payload=b"\x00\xff", priority=9, unique="k", options=b"\x80", queue="a", at_most_once=True),
            job(run_at=NOW + 100.5, attempt=2, failure=FAILURE),
            job(task="unknown"),
            job(batch=batch, items=10, packed=True),
            job(batch=batch, item=7, dead=True, failure=FAILURE),
            job(queue="b", gate=gate("t", "x")),
            job(queue="cancelled"),
            job(queue="crashed"),
        ]
        store.enqueue(sent, now=NOW)
        parked = next(lease for lease in claim(store) if lease.task == "unknown")
        end(store, parked, Ending.PARKED)
        rescue_from(store, BOB)
        (crashed,) = claim(store, queues=["crashed"], holder=BOB)
        store.abandon(BOB, crashed=[crashed.id])
        store.abandon(BOB)
        store.inspector().cancel(Selection(queue="cancelled"))
        for lease in store.held(ALICE):
            store.requeue([lease], ALICE)
        before = [told(one) for one in store.inspector().list(Selection())]
        counts = store.inspector().count()
        assert move(store, other) == [Arrival(len(sent), 0)]
        assert [told(one) for one in other.inspector().list(Selection())] == before
        assert list(other.inspector().count()) == list(counts)
        assert list(store.inspector().list(Selection())) == []
        assert store.transfer().left(None, now=NOW) == Left()

    def test_what_is_with_a_job_but_not_shown_goes_too(self, store: Broker, other: Broker) -> None:
        sent = job(options=b"\x81", at_most_once=True, unique="k", payload=b"p" * 5000)
        store.enqueue([sent], now=NOW)
        move(store, other)
        lease = claim_one(other)
        assert (lease.options, lease.at_most_once, lease.payload) == (b"\x81", True, b"p" * 5000)
        assert other.enqueue([job(unique="k")], now=NOW) == [sent.id]
        fresh = job(unique="k")
        assert store.enqueue([fresh], now=NOW) == [fresh.id]

    def test_results_go_that_are_still_kept(self, store: Broker, other: Broker) -> None:
        sent = jobs(2)
        store.enqueue(sent, now=NOW)
        short, long = claim(store)
        end(store, short, result=b"1", result_ttl=0.0)
        end(store, long, result=b"2", result_ttl=60.0)
        move(store, other)
        assert other.inspector().result(long.id, now=NOW + 59) == b"2"
        assert other.inspector().result(long.id, now=NOW + 61) is None
        assert other.inspector().result(short.id, now=NOW) is None
        assert store.inspector().result(long.id, now=NOW) is None

    def test_counters_of_a_batch_add_up_where_it_ends(self, store: Broker, other: Broker) -> None:
        batch = new_id()
        store.enqueue([job(batch=batch, items=10, packed=True), *jobs(4, batch=batch)], now=NOW)
        first, second, *_ = claim(store, 3)
        end(store, first, steps=(Step(batch, done=10),))
        move(store, other, 1)
        assert other.inspector().batch(batch) == BatchRecord(batch, 14, 10, 0, 0)
        end(store, second, steps=(Step(batch, done=1),))
        for lease in claim(other):
            assert other.exchange([Outcome(lease, steps=(Step(batch, done=1),))], (), 0, ALICE, now=NOW).stale == []
        move(store, other)
        assert other.inspector().batch(batch) == BatchRecord(batch, 14, 13, 0, 0)
        store.abandon(ALICE)
        move(store, other)
        (last,) = claim(other)
        assert other.exchange([Outcome(last, steps=(Step(batch, done=1),))], (), 0, ALICE, now=NOW).stale == []
        assert other.inspector().batch(batch) == BatchRecord(batch, 14, 14, 0, 0)
        assert store.inspector().batch(batch) in {None, BatchRecord(batch, 0, 0, 0, 0)}

    def test_a_dead_job_that_is_retried_counts_in_its_batch(self, store: Broker, other: Broker) -> None:
        batch = new_id()
        store.enqueue([job(batch=batch, items=3)], now=NOW)
        end(store, claim_one(store), Ending.DEAD, failure=FAILURE, steps=(Step(batch, failed=3),))
        move(store, other)
        assert other.inspector().batch(batch) == BatchRecord(batch, 3, 0, 3, 0)
        assert other.inspector().retry(Selection(batch=batch)) == 1
        assert other.inspector().batch(batch) == BatchRecord(batch, 3, 0, 0, 0)

    # What does not

    def test_a_job_that_runs_stays_until_it_comes_back(self, store: Broker, other: Broker) -> None:
        sent = jobs(3)
        store.enqueue(sent, now=NOW)
        done, again = claim(store, 2)
        assert move(store, other) == [Arrival(1, 0)]
        assert store.transfer().left(None, now=NOW) == Left(0, 2)
        end(store, done)
        end(store, again, Ending.RETRY, delay=30.0, failure=FAILURE)
        assert store.transfer().left(None, now=NOW) == Left(1, 0)
        move(store, other)
        moved = record(other, again.id)
        assert (moved.state, moved.attempt, moved.run_at, moved.failure) == (State.DELAYED, 1, NOW + 30, FAILURE)
        assert ids(claim(other)) == ids(sent[2:])

    def test_only_the_queues_that_are_named(self, store: Broker, other: Broker) -> None:
        here, there = job(queue="a"), job(queue="b")
        late, behind_a_gate = job(queue="b", run_at=NOW + 9), job(queue="b", gate=gate("t", "x"))
        store.enqueue([here, there, late, behind_a_gate, job(queue="a", dead=True)], now=NOW)
        assert store.transfer().left(["b"], now=NOW) == Left(3, 0)
        assert move(store, other, queues=["b"]) == [Arrival(3, 0)]
        assert {one.queue for one in store.inspector().list(Selection())} == {"a"}
        assert {one.id for one in other.inspector().list(Selection())} == {there.id, late.id, behind_a_gate.id}
        assert store.transfer().left(["b"], now=NOW) == Left()

    # In their order

    def test_places_and_priorities_go(self, store: Broker, other: Broker) -> None:
        sent = [job(priority=number % 3, payload=bytes([number])) for number in range(20)]
        store.enqueue(sent, now=NOW)
        expected = sorted(sent, key=lambda one: -one.priority)
        assert len(move(store, other, 6)) == 4
        assert ids(claim(other)) == ids(expected)

    def test_what_has_arrived_wakes_the_workers_and_waits_for_its_turn(self, store: Broker, other: Broker) -> None:
        (own,), sent = jobs(1), jobs(2)
        other.enqueue([own], now=NOW)
        store.enqueue(sent, now=NOW)
        move(store, other)
        assert ids(claim(other)) == ids([own, *sent])

    def test_jobs_of_a_key_go_together_while_none_of_them_runs(self, store: Broker, other: Broker) -> None:
        for one in (store, other):
            one.declare({"store": Limit(ordered=True)})
        apples, others = jobs(5, gate=AAPL, task="store"), jobs(3, gate=MSFT, task="store")
        store.enqueue([*apples, *others], now=NOW)
        first = next(lease for lease in claim(store, 2) if lease.gate in {AAPL, MSFT})
        held, free = (apples, others) if first.gate == AAPL else (others, apples)
        left = ship(store, other, 1)
        assert left is not None
        assert ids(left.jobs) == ids(free)
        assert ship(store, other, 1) is None
        assert store.transfer().left(None, now=NOW).held == len(held)
        store.abandon(ALICE)
        move(store, other)
        assert [id for id in drained(other) if id in ids(held)] == ids(held)

    def test_a_retry_that_waits_keeps_its_place_before_what_is_behind_it(self, store: Broker, other: Broker) -> None:
        for one in (store, other):
            one.declare({"store": Limit(ordered=True)})
        sent = jobs(4, gate=AAPL, task="store")
        store.enqueue(sent, now=NOW)
        (first,) = claim(store, 1)
        end(store, first, Ending.RETRY, delay=30.0, failure=FAILURE)
        move(store, other)
        assert claim(other) == []
        other.promote(now=NOW + 31)
        assert ids(claim(other, now=NOW + 31)) == ids(sent)

    def test_who_asks_here_is_told_where_a_job_went_until_it_comes_back(self, store: Broker, other: Broker) -> None:
        batch, stays = new_id(), job(queue="b")
        sent = job(batch=batch)
        store.enqueue([sent, stays], now=NOW)
        move(store, other, queues=[QUEUE])
        inspector = store.inspector()
        assert [inspector.moved_to(id) for id in (sent.id, batch)] == ["elsewhere", "elsewhere"]
        assert [inspector.moved_to(id) for id in (stays.id, new_id())] == [None, None]
        assert other.inspector().moved_to(sent.id) is None
        move(other, store)
        assert inspector.moved_to(sent.id) is None
        assert other.inspector().moved_to(sent.id) == "elsewhere"

    # Once

    def test_a_shipment_is_nowhere_but_in_itself_until_it_arrives(
        self, store: Broker, other: Broker, open_store: Callable[..., Broker], url: str
    ) -> None:
        sent = job(run_at=NOW + 5)
        store.enqueue([sent, job()], now=NOW)
        left = ship(store, other)
        assert left is not None
        assert (store.inspector().get(sent.id), claim(store), store.purge(QUEUE)) == (None, [], 0)
        later = open_store(url).transfer()
        (pending,) = later.pending()
        assert pending.bound_for == other.transfer().name() != store.transfer().name()
        assert later.shipment(pending.number) == left
        later.discard(pending.number)
        later.discard(pending.number)
        assert later.shipment(pending.number) is None
        assert list(later.pending()) == []

    def test_it_arrives_once_even_when_its_jobs_have_ended_since(self, store: Broker, other: Broker) -> None:
        batch = new_id()
        store.enqueue([job(batch=batch), job()], now=NOW)
        left = ship(store, other)
        assert left is not None
        assert other.transfer().receive(left) == Arrival(2, 0)
        for lease in claim(other):
            end(other, lease)
        assert other.transfer().receive(left) is None
        other.transfer().settle([left.id], now=NOW)
        assert other.transfer().receive(left) is None
        assert (claim(other), state(other, left.jobs[0].id)) == ([], State.DONE)
        assert other.inspector().batch(batch) == BatchRecord(batch, 1, 0, 0, 0)

    def test_what_is_settled_is_forgotten_after_a_week(self, store: Broker, other: Broker) -> None:
        store.enqueue([job()], now=NOW)
        left = ship(store, other)
        assert left is not None
        destination = other.transfer()
        assert destination.receive(left) == Arrival(1, 0)
        end(other, claim_one(other))
        destination.settle([left.id], now=NOW)
        destination.settle([new_id()], now=NOW + 8 * 86_400)
        assert destination.receive(left) == Arrival(1, 0)

    def test_a_job_that_is_there_already_is_kept_once(self, store: Broker, other: Broker) -> None:
        batch = new_id()
        twin, keyed, plain = job(batch=batch, items=5), job(batch=batch, unique="k"), job(batch=batch)
        holder = job(unique="k")
        store.enqueue([twin, keyed, plain], now=NOW)
        other.enqueue([twin, holder], now=NOW)
        assert move(store, other) == [Arrival(1, 2)]
        assert {one.id for one in other.inspector().list(Selection())} == {twin.id, plain.id, holder.id}
        assert other.inspector().batch(batch) == BatchRecord(batch, 6, 0, 0, 0)

    def test_numbers_grow_and_pending_shipments_come_in_their_order(self, store: Broker, other: Broker) -> None:
        store.enqueue(jobs(5), now=NOW)
        seen: list[int] = []
        while ship(store, other, 2) is not None:
            seen.append(max(one.number for one in store.transfer().pending()))
        assert seen == sorted(set(seen))
        assert [one.number for one in store.transfer().pending()] == seen
        store.transfer().discard(seen[-1])
        store.enqueue(jobs(1), now=NOW)
        ship(store, other, 2)
        assert max(one.number for one in store.transfer().pending()) > seen[-1]

    def test_two_movers_at_once_share_the_jobs(
        self, store: Broker, other: Broker, open_store: Callable[..., Broker]
    ) -> None:
        sent = jobs(200)
        store.enqueue(sent, now=NOW)
        bound_for = other.transfer().name()

        movers = [open_store() for _ in range(THREADS)]
        gone: list[bytes] = []

        def ship_all(number: int) -> None:
            while (found := movers[number].transfer().ship(bound_for, "elsewhere", None, 7, now=NOW)) is not None:
                gone.extend(ids(found[1].jobs))

        in_threads(ship_all)
        assert sorted(gone) == sorted(ids(sent))
