"""Between pool and broker."""

import itertools
import math
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from penstock.brokers import connect
from penstock.brokers.base import Broker, Exchange
from penstock.brokers.sqlite.broker import SqliteBroker
from penstock.core.ids import uuid7s
from penstock.core.job import Holder, Lease, NewJob
from penstock.core.outcome import Outcome
from penstock.core.states import State
from penstock.errors import StoreError
from penstock.events.counters import ROOM, Counters
from penstock.events.meter import Meter
from penstock.worker import dispatcher as dispatcher_module
from penstock.worker.dispatcher import Dispatcher

HOLDER = Holder("worker", 1)
_numbers = itertools.count(1)


class Setup:
    def __init__(self, url: str) -> None:
        self.broker: Broker = connect(url)
        self.broker.open()
        self.stale: list[Outcome] = []
        self.ran: list[Lease] = []
        self.counted: list[int] = []
        self.counters = Counters(memoryview(bytearray(ROOM)))
        meter = Meter(self.counters, tuple)
        self.late = False
        self.dispatcher = Dispatcher(
            self.broker, HOLDER, ("default",), self.stale.extend, self.counted.append, meter,
            lapsed=lambda since, now: self.late,
        )  # fmt: skip

    def tick(self, room: int = 1) -> int:
        leases = self.dispatcher.tick(room)
        for lease in leases:
            self.ran.append(lease)
            self.dispatcher.done(Outcome(lease))
        return len(leases)

    def enqueue(self, count: int) -> list[bytes]:
        ids = uuid7s(count, 1_700_000_000_000, b"0123456789")
        return self.broker.enqueue([NewJob(id, "app.task", b"\x90") for id in ids])

    def counts(self) -> tuple[int, int]:
        for counts in self.broker.inspector().count():
            return counts.ready, counts.running
        return 0, 0


@pytest.fixture
def setup(queue_url: str) -> Iterator[Setup]:
    setup = Setup(queue_url)
    yield setup
    setup.broker.close()


@pytest.fixture(params=["sqlite", "postgresql", "mongodb", "lone mongodb", "redis"])
def any_setup(request: pytest.FixtureRequest, queue_url: str) -> Iterator[Setup]:
    name = f"dispatcher{next(_numbers)}"
    match request.param:
        case "postgresql":
            url = f"{request.getfixturevalue('postgres_server').url()}?schema={name}"
        case "mongodb":
            url = f"{request.getfixturevalue('mongo_server').url()}&namespace={name}"
        case "lone mongodb":
            url = f"{request.getfixturevalue('lone_mongo_server').url()}?namespace={name}"
        case "redis":
            url = f"{request.getfixturevalue('redis_server').url()}?namespace={name}"
        case _:
            url = queue_url
    setup = Setup(url)
    yield setup
    setup.broker.close()


def test_a_tick_takes_what_there_is_room_for_and_the_next_hands_it_in(setup: Setup) -> None:
    ids = setup.enqueue(2)
    assert setup.tick() == 1
    assert [lease.id for lease in setup.ran] == ids[:1]
    assert setup.dispatcher.waiting == 1
    assert setup.counts() == (1, 1)
    assert setup.tick() == 1
    assert setup.tick() == 0
    assert setup.counts() == (0, 0)
    assert setup.stale == []
    assert setup.counted == [1, 1]
    assert (setup.dispatcher.ended, setup.dispatcher.held) == (2, 0)


def test_handing_in_takes_nothing(setup: Setup) -> None:
    setup.enqueue(2)
    setup.tick()
    setup.dispatcher.hand_in()
    assert setup.dispatcher.waiting == 0
    assert setup.counts() == (1, 0)


def test_what_is_given_back_is_ready_again(setup: Setup) -> None:
    setup.enqueue(2)
    leases = setup.broker.exchange((), ("default",), 2, HOLDER).leases
    setup.dispatcher.give_back(leases)
    assert setup.counts() == (2, 0)
    assert setup.broker.exchange((), ("default",), 2, HOLDER).leases[0].attempt == 0


def test_what_came_too_late_is_told(setup: Setup) -> None:
    setup.enqueue(1)
    setup.tick()
    setup.broker.abandon(HOLDER)
    setup.dispatcher.hand_in()
    assert [outcome.lease.id for outcome in setup.stale] == [setup.ran[0].id]
    assert setup.counts() == (1, 0)


def test_what_the_store_refuses_goes_with_the_next_exchange(setup: Setup) -> None:
    setup.enqueue(1)
    setup.tick()
    setup.broker.close()
    with pytest.raises(StoreError):
        setup.dispatcher.hand_in()
    assert setup.dispatcher.waiting == 1
    setup.broker.open()
    setup.dispatcher.hand_in()
    assert setup.counts() == (0, 0)


def test_the_first_of_two_endings_counts(setup: Setup) -> None:
    setup.enqueue(1)
    (lease,) = setup.broker.exchange((), ("default",), 1, HOLDER).leases
    setup.dispatcher.done(Outcome(lease))
    setup.dispatcher.give_back([lease])
    assert setup.counts() == (0, 0)
    assert setup.stale == []  # to come too late with what did not run is no news


def test_what_was_in_doubt_and_is_stale_then_is_not_told_for_it_went_through(setup: Setup) -> None:
    setup.enqueue(1)
    setup.tick()
    setup.broker.close()
    with pytest.raises(StoreError):
        setup.dispatcher.hand_in()
    setup.broker.open()
    setup.broker.exchange([Outcome(setup.ran[0])], (), 0, HOLDER)
    setup.dispatcher.hand_in()
    assert setup.stale == []
    assert setup.dispatcher.waiting == 0


def fail(setup: Setup) -> None:
    """An exchange is cut off."""
    setup.broker.close()
    with pytest.raises(StoreError):
        setup.dispatcher.tick(1)
    setup.broker.open()


def test_after_trouble_leases_that_nobody_heard_of_go_back_and_those_that_run_stay(
    any_setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = any_setup
    monkeypatch.setattr(dispatcher_module, "_LOOKS", (0.0, 0.0, math.inf))
    setup.enqueue(5)
    running = setup.dispatcher.tick(1)
    running += setup.dispatcher.tick(2)
    setup.dispatcher.done(Outcome(running.pop(1)))
    fail(setup)
    # Its answer was lost.
    setup.broker.exchange((), ("default",), 1, HOLDER)
    assert setup.counts() == (1, 4)
    assert setup.dispatcher.tick(0) == []
    assert setup.counts() == (2, 2)
    for lease in running:
        setup.dispatcher.done(Outcome(lease))
    setup.dispatcher.hand_in()
    assert setup.counts() == (2, 0)
    assert setup.stale == []


def test_work_is_left_where_nobody_heard_of_the_last_lease(any_setup: Setup) -> None:
    setup = any_setup
    setup.enqueue(1)
    fail(setup)
    # Its answer was lost.
    setup.broker.exchange((), ("default",), 1, HOLDER)
    assert setup.counts() == (0, 1)
    assert setup.dispatcher.is_work_left()
    assert setup.tick() == 1
    setup.dispatcher.hand_in()
    assert not setup.dispatcher.is_work_left()


def test_a_lease_that_nobody_heard_of_and_that_may_not_run_twice_becomes_a_dead_letter(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher_module, "_LOOKS", (0.0,))
    (id,) = uuid7s(1, 1_700_000_000_000, b"0123456789")
    setup.broker.enqueue([NewJob(id, "app.task", b"\x90", at_most_once=True)])
    fail(setup)
    setup.broker.exchange((), ("default",), 1, HOLDER)
    setup.dispatcher.tick(0)
    record = setup.broker.inspector().get(id)
    assert record is not None
    assert record.state is State.DEAD


def test_what_was_taken_runs_though_the_ends_of_others_can_not_be_told(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: SqliteBroker, ids: object) -> None:
        raise StoreError("the connection was cut: try again")

    monkeypatch.setattr(SqliteBroker, "tell_ended", refused)
    setup.enqueue(2)
    (lease,) = setup.dispatcher.tick(1)
    setup.broker.exchange([Outcome(lease)], (), 0, HOLDER)
    setup.dispatcher.done(replace(Outcome(lease), committed=True))
    assert len(setup.dispatcher.tick(1)) == 1


def test_of_leases_that_came_too_late_those_run_that_are_no_others(
    any_setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the process was frozen while the store's answer was on its way, and its worker was taken for dead."""
    setup = any_setup
    ids = setup.enqueue(5)
    exchange = setup.broker.exchange

    def answer_late(*asked: Any, **also: Any) -> Exchange:
        given = exchange(*asked, **also)
        if given.leases:
            taken.extend(given.leases)
            setup.broker.abandon(HOLDER)
            exchange((), ["default"], 2, Holder("another", 1))
            exchange((), ["default"], 2, HOLDER)
        return given

    taken: list[Lease] = []
    with monkeypatch.context() as patch:
        patch.setattr(setup.broker, "exchange", answer_late)
        setup.late = True
        assert setup.tick(4) == 0
    assert len(taken) == 4
    # They are given back by the claims that they came with, which are in force no more; that is no news.
    setup.dispatcher.hand_in()
    assert setup.stale == []
    assert setup.dispatcher.held == 0
    assert setup.counts() == (1, 4)
    setup.late = False
    assert setup.tick(4) == 1
    assert [lease.id for lease in setup.ran] == [ids[4]]
    # Where its worker was not taken for dead after all, they are its own.
    setup.broker.abandon(HOLDER)
    setup.late = True
    assert setup.tick(1) == 1


def test_who_begins_with_others_goes_around_them_once(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[int] = []
    monkeypatch.setattr(type(setup.broker), "go_around", lambda self, others: heard.append(others) or True)
    setup.enqueue(3)
    setup.dispatcher.others = 2
    setup.dispatcher.hand_in()
    assert setup.tick(0) == 0
    assert heard == []
    assert setup.tick() == setup.tick() == 1
    assert heard == [2]
