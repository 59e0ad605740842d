"""Between pool and broker."""

from collections.abc import Iterator

import pytest

from penstock.brokers import connect
from penstock.brokers.base import Broker
from penstock.core.ids import uuid7s
from penstock.core.job import Holder, Lease, NewJob
from penstock.core.outcome import Ending, Outcome
from penstock.errors import StoreError
from penstock.events.counters import ROOM, Counters
from penstock.events.meter import Meter
from penstock.worker.dispatcher import Dispatcher

HOLDER = Holder("worker", 1)


class Setup:
    def __init__(self, url: str) -> None:
        self.broker: Broker = connect(url)
        self.broker.open()
        self.stale: list[Outcome] = []
        self.ran: list[Lease] = []
        self.counted: list[int] = []
        self.counters = Counters(memoryview(bytearray(ROOM)))
        meter = Meter(self.counters, tuple)
        self.dispatcher = Dispatcher(self.broker, HOLDER, ("default",), self.stale.extend, self.counted.append, meter)

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
    assert [outcome.ending for outcome in setup.stale] == [Ending.RELEASED]


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
