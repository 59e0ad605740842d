"""What a claim took from a SQLite file, read after its commit."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from penstock.brokers.sqlite import broker as broker_module
from penstock.brokers.sqlite.broker import SqliteBroker
from penstock.brokers.sqlite.taken import Taken, read
from penstock.testing.contract.harness import ALICE, BOB, NOW, QUEUE, claim, ids, jobs


@pytest.fixture
def store(queue_url: str) -> Iterator[SqliteBroker]:
    with closing(SqliteBroker(queue_url)) as opened:
        opened.open()
        yield opened


def taken(store: SqliteBroker, limit: int) -> Taken:
    with store._transaction() as connection:
        return store._moves.claim(connection, [QUEUE], limit, ALICE, NOW)


def test_leases_come_in_the_order_in_which_they_were_taken(store: SqliteBroker) -> None:
    last, first = jobs(2, priority=1), jobs(2, priority=9)
    store.enqueue([*last, *first], now=NOW)
    assert ids(read(store._open, store._sql, taken(store, 4))) == ids([*first, *last])


def test_what_became_anothers_before_it_was_read_is_left_out(store: SqliteBroker) -> None:
    sent = jobs(3)
    store.enqueue(sent, now=NOW)
    mine = taken(store, 3)
    store.abandon(ALICE)
    theirs = claim(store, 1, holder=BOB)
    assert ids(theirs) == ids(sent[:1])
    assert read(store._open, store._sql, mine) == []


def test_what_another_has_taken_between_them_is_left_out(store: SqliteBroker) -> None:
    first, between, last = ([one] for one in jobs(3))
    store.enqueue([*first, *between, *last], now=NOW)
    everything = claim(store, 3)
    store.requeue([everything[1]], ALICE)
    theirs = claim(store, 1, holder=BOB)
    assert ids(theirs) == ids(between)
    assert ids(store.held(ALICE)) == ids([*first, *last])
    again = Taken(everything[0].claim, [lease.key for lease in everything])
    assert ids(read(store._open, store._sql, again)) == ids([*first, *last])


def test_others_may_write_while_it_is_read(
    store: SqliteBroker, queue_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.enqueue(jobs(1), now=NOW)
    other = SqliteBroker(queue_url)
    other.open()

    def slow(*args: object) -> object:
        # It would wait for as long as the file is locked.
        other.enqueue(jobs(1), now=NOW)
        return read(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(broker_module, "read", slow)
    with closing(other):
        assert len(claim(store)) == 1
        assert store.depth(QUEUE) == 1
