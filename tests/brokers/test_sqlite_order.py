"""Order per key, whatever happens to its jobs: what ends well does so in the order in which it came."""

import itertools
import os
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.brokers import connect
from penstock.brokers.inspect import Selection
from penstock.core.job import Failure, Holder, Lease
from penstock.core.limiter import gate
from penstock.core.outcome import Ending, Outcome
from penstock.testing.contract.harness import NOW, QUEUE, job

FULL = os.environ.get("PENSTOCK_CHAOS") == "full"
HOLDERS = [Holder("alice", 1), Holder("alice", 2), Holder("bob", 1)]
KEYS = [gate("store", key, ordered=True) for key in "ab"] + [None]
ENDINGS = [*[Ending.DONE] * 4, Ending.RETRY, Ending.SNOOZE, Ending.DEAD, Ending.RELEASED, Ending.PARKED]
STEPS = st.one_of(
    st.tuples(st.just("send"), st.lists(st.sampled_from(KEYS), min_size=1, max_size=5)),
    st.tuples(
        st.just("work"), st.tuples(st.integers(0, 2), st.integers(0, 6), st.lists(st.sampled_from(ENDINGS), max_size=6))
    ),
    st.tuples(st.just("die"), st.integers(0, 2)),
    st.tuples(st.just("wait"), st.integers(1, 40)),
    st.tuples(st.just("cancel"), st.integers(0, 9)),
    st.tuples(st.just("unpark"), st.none()),
)
_numbers = itertools.count()


def ended(leases: list[Lease], endings: list[Ending]) -> list[Outcome]:
    """As the worker ends a call: what came after one of its key that runs again is given back."""
    again: set[str | None] = set()
    outcomes: list[Outcome] = []
    for lease, ending in zip(leases, endings, strict=False):
        chosen = Ending.RELEASED if lease.gate in again else ending
        if lease.gate is not None and chosen not in {Ending.DONE, Ending.DEAD}:
            again.add(lease.gate)
        outcomes.append(Outcome(lease, chosen, delay=5.0 if lease.key % 2 else 0.0, failure=Failure("E", "m")))
    return outcomes


class Run:
    """A queue, what its holders hold, and what came of each key."""

    def __init__(self, url: str) -> None:
        self.store = connect(url)
        self.store.open()
        self.now = NOW
        self.held: dict[Holder, list[Lease]] = defaultdict(list)
        self.sent: dict[str | None, list[bytes]] = defaultdict(list)
        self.done: dict[str | None, list[bytes]] = defaultdict(list)
        self.lost: set[bytes] = set()

    def send(self, keys: list[str | None]) -> None:
        jobs = [job(gate=key, task="store", priority=number % 10) for number, key in enumerate(keys)]
        self.store.enqueue(jobs, now=self.now)
        for one in jobs:
            self.sent[one.gate].append(one.id)

    def work(self, how: tuple[int, int, list[Ending]]) -> None:
        number, limit, endings = how
        holder = HOLDERS[number]
        outcomes = ended(self.held[holder], endings)
        given = self.store.exchange(outcomes, [QUEUE], limit, holder, now=self.now)
        assert given.stale == []
        self.held[holder] = [*self.held[holder][len(outcomes) :], *given.leases]
        for outcome in outcomes:
            if outcome.ending is Ending.DONE:
                self.done[outcome.lease.gate].append(outcome.lease.id)
            elif outcome.ending is Ending.DEAD:
                self.lost.add(outcome.lease.id)
        for key in {lease.gate for lease in given.leases} - {None}:
            holders = [each for each, leases in self.held.items() if any(lease.gate == key for lease in leases)]
            assert holders == [holder]

    def die(self, number: int) -> None:
        self.store.abandon(HOLDERS[number])
        self.held[HOLDERS[number]] = []

    def wait(self, seconds: int) -> None:
        self.now += seconds
        self.store.promote(now=self.now)

    def cancel(self, number: int) -> None:
        running = {lease.id for leases in self.held.values() for lease in leases}
        waiting = [id for one in self.sent.values() for id in one if id not in running]
        for id in waiting[number : number + 1]:
            if self.store.inspector().cancel(Selection(ids=(id,))):
                self.lost.add(id)

    def unpark(self, _: None) -> None:
        self.store.unpark(["store"])

    def finish(self) -> None:
        """Run all that is left."""
        for number in range(len(HOLDERS)):
            self.die(number)
        for _ in range(12):
            self.unpark(None)
            self.wait(10)
            self.work((0, 50, [Ending.DONE] * 50))
        assert self.store.depth(QUEUE) == 0


@settings(max_examples=1000 if FULL else 25, deadline=None)
@given(steps=st.lists(STEPS, min_size=5, max_size=40))
def test_what_ends_well_ends_in_its_order(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, Any]]
) -> None:
    run = Run(f"sqlite:///{tmp_path_factory.getbasetemp()}/order{next(_numbers)}.db?durability=normal")
    for name, how in steps:
        getattr(run, name)(how)
    run.finish()
    for key, sent in run.sent.items():
        left = [id for id in sent if id not in run.lost]
        assert run.done[key] == left if key is not None else sorted(run.done[key]) == sorted(left)
    run.store.close()
