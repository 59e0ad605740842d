"""Which jobs the store is told of."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from penstock.brokers.base import Broker
from penstock.brokers.sqlite.broker import SqliteBroker
from penstock.core.bundle import bundle
from penstock.core.job import Holder, Lease
from penstock.errors import StoreUnavailable
from penstock.testing.contract.harness import new_id
from penstock.worker.showing import Showing


class Store(SqliteBroker):
    """Notes what it is told, unless it is away."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.told: list[Lease] = []
        self.away = False

    def show(self, leases: Sequence[Lease], holder: Holder) -> int:
        if self.away:
            raise StoreUnavailable("it restarts: try again")
        self.told += leases
        return len(leases)


def lease(claim: int) -> Lease:
    return Lease(new_id(), -1, claim, "app.task", b"", "default", 5, 0)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(f"sqlite:///{tmp_path}/queue.db")


def made(store: Store, *, needed: bool = True) -> Showing:
    @contextmanager
    def borrow() -> Iterator[Broker]:
        yield store

    return Showing(Holder("w"), borrow, needed=needed)


def test_what_runs_for_a_second_is_told_once(store: Store) -> None:
    slow, quick = lease(1), lease(2)
    it = made(store)
    it.look([slow, quick], 0.0)
    it.look([slow], 0.9)
    assert store.told == []
    for moment in (1.2, 1.7, 2.2):
        it.look([slow, quick], moment)
    assert store.told == [slow, quick]


def test_one_that_ends_in_between_starts_anew(store: Store) -> None:
    one = lease(1)
    it = made(store)
    for moment, running in ((0.0, [one]), (0.7, []), (1.4, [one]), (2.0, [one])):
        it.look(running, moment)
    assert store.told == []


def test_the_first_of_those_that_share_a_call_stands_for_all(store: Store) -> None:
    both = [lease(1), lease(2)]
    it = made(store)
    for moment in (0.0, 1.0, 2.0):
        it.look([bundle(both)], moment)
    assert store.told == both[:1]


def test_a_store_that_is_away_is_told_later(store: Store) -> None:
    slow = lease(1)
    it = made(store)
    store.away = True
    for moment in (0.0, 1.0, 2.0):
        it.look([slow], moment)
    store.away = False
    it.look([slow], 2.9)
    assert store.told == []
    it.look([slow], 3.0)
    assert store.told == [slow]


def test_a_store_of_records_is_told_nothing(store: Store) -> None:
    it = made(store, needed=False)
    for moment in (0.0, 1.1, 2.2):
        it.look([lease(1)], moment)
    assert store.told == []
