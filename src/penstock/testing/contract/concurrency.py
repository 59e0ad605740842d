"""Many threads and many processes on one store."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable

from penstock.brokers.base import Broker
from penstock.core.job import Holder
from penstock.core.limiter import Limit
from penstock.core.outcome import Outcome
from penstock.errors import PenstockError
from penstock.testing.contract.harness import NOW, QUEUE, ContractBase, by_record, claim, ids, job, jobs
from penstock.testing.contract.processes import Child, ProcessContract, claimed, together

THREADS = 4


def in_threads(work: Callable[[int], None]) -> None:
    """Run the work in some threads at once; a PenstockError in one of them is raised here."""
    barrier = threading.Barrier(THREADS)
    failed: list[PenstockError | AssertionError] = []

    def run(number: int) -> None:
        barrier.wait(30)
        try:
            work(number)
        except (PenstockError, AssertionError) as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def drain(store: Broker, holder: Holder, limit: int) -> list[bytes]:
    """Run everything there is; returns the ids in the order they came."""
    delivered: list[bytes] = []
    outcomes: list[Outcome] = []
    while True:
        given = store.exchange(outcomes, [QUEUE], limit, holder, now=NOW)
        assert given.stale == []
        if not given.leases:
            return delivered
        delivered += ids(given.leases)
        outcomes = [Outcome(lease) for lease in given.leases]


class ConcurrencyContract(ProcessContract, ContractBase):
    """However many claim at once, every job is delivered, and delivered once."""

    def test_threads_share_the_work(self, store: Broker, open_store: Callable[..., Broker]) -> None:
        sent = jobs(2000)
        store.enqueue(sent, now=NOW)
        stores = [open_store() for _ in range(THREADS)]
        delivered: list[bytes] = []
        in_threads(lambda number: delivered.extend(drain(stores[number], Holder(f"w{number}"), 7)))
        assert Counter(delivered) == Counter(ids(sent))
        assert list(store.inspector().count()) == []

    def test_threads_send_and_work_at_once(self, store: Broker, open_store: Callable[..., Broker]) -> None:
        stores = [open_store() for _ in range(THREADS)]
        sent = [jobs(300) for _ in range(THREADS)]
        delivered: list[bytes] = []

        def work(number: int) -> None:
            for start in range(0, 300, 20):
                stores[number].enqueue(sent[number][start : start + 20], now=NOW)
                delivered.extend(drain(stores[number], Holder(f"w{number}"), 15))

        in_threads(work)
        delivered.extend(drain(store, Holder("last"), 100))
        assert Counter(delivered) == Counter(id for part in sent for id in ids(part))

    def test_threads_race_for_one_unique_key(self, store: Broker, open_store: Callable[..., Broker]) -> None:
        stores = [open_store() for _ in range(THREADS)]
        answers: list[bytes] = []

        def work(number: int) -> None:
            for round in range(25):
                answers.extend(stores[number].enqueue([job(unique=f"key {round}")], now=NOW))

        in_threads(work)
        assert len(answers) == 25 * THREADS
        assert set(answers) == set(ids(claim(store)))
        assert len(set(answers)) == 25

    @by_record
    def test_threads_enqueue_the_same_ids(self, store: Broker, open_store: Callable[..., Broker]) -> None:
        stores = [open_store() for _ in range(THREADS)]
        sent = jobs(200)

        def work(number: int) -> None:
            for start in range(0, 200, 10):
                part = sent[start : start + 10]
                assert stores[number].enqueue(part, now=NOW) == ids(part)

        in_threads(work)
        assert Counter(ids(claim(store))) == Counter(ids(sent))

    @by_record
    def test_threads_hand_in_the_same_outcomes(self, store: Broker, open_store: Callable[..., Broker]) -> None:
        stores = [open_store() for _ in range(THREADS)]
        holder = Holder("shared")
        store.enqueue(jobs(200), now=NOW)
        outcomes = [Outcome(lease, follow_ups=(job(queue="after"),)) for lease in claim(store, holder=holder)]
        applied: list[bytes] = []

        def work(number: int) -> None:
            for start in range(0, 200, 10):
                part = outcomes[start : start + 10]
                stale = stores[number].exchange(part, (), 0, holder, now=NOW).stale
                applied.extend(outcome.lease.id for outcome in part if outcome not in stale)

        in_threads(work)
        assert Counter(applied) == Counter(outcome.lease.id for outcome in outcomes)
        assert store.depth("after") == 200

    def test_processes_share_the_work(self, url: str, store: Broker, start: Callable[..., Child]) -> None:
        sent = jobs(3000)
        store.enqueue(sent)
        children = [start("drain", url, f"w{number}", 11) for number in range(4)]
        together(children)
        lines = [child.finish() for child in children]
        delivered = [id for told in lines for chunk in claimed(told) for id in chunk]
        assert Counter(delivered) == Counter(ids(sent))
        assert not any(line.startswith("stale") for told in lines for line in told)
        assert list(store.inspector().count()) == []

    def test_threads_keep_a_concurrency(self, store: Broker, open_store: Callable[..., Broker]) -> None:
        store.declare({"t": Limit(concurrency=3)})
        sent = [job(gate=f"t,{number % 2}", priority=number % 3) for number in range(160)]
        store.enqueue(sent, now=NOW)
        stores = [open_store() for _ in range(THREADS)]
        guard, running, most, ended = threading.Lock(), Counter[str | None](), Counter[str | None](), list[bytes]()

        def work(number: int) -> None:
            holder, outcomes = Holder(f"w{number}"), list[Outcome]()
            while len(ended) < len(sent):
                with guard:
                    running.subtract(outcome.lease.gate for outcome in outcomes)
                given = stores[number].exchange(outcomes, [QUEUE], 2, holder, now=NOW)
                assert given.stale == []
                with guard:
                    ended.extend(outcome.lease.id for outcome in outcomes)
                    running.update(lease.gate for lease in given.leases)
                    for gate, count in running.items():
                        most[gate] = max(most[gate], count)
                outcomes = [Outcome(lease) for lease in given.leases]

        in_threads(work)
        assert Counter(ended) == Counter(ids(sent))
        assert max(most.values()) <= 3

    def test_threads_keep_a_rate(self, store: Broker, open_store: Callable[..., Broker]) -> None:
        store.declare({"t": Limit("100/s", burst=5)})
        store.enqueue(jobs(500, gate="t"), now=NOW)
        stores = [open_store() for _ in range(THREADS)]
        ticks, started = itertools.count(), list[bytes]()

        def work(number: int) -> None:
            for _ in range(100):
                leases = claim(stores[number], 3, holder=Holder(f"w{number}"), now=NOW + next(ticks) * 0.005)
                started.extend(ids(leases))

        in_threads(work)
        assert len(set(started)) == len(started)
        assert 150 <= len(started) <= 205
