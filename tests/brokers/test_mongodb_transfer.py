"""A mover that is killed before any of its writes: what leaves or arrives has done so as a whole in the end, once."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import monitoring

from penstock.brokers.inspect import BatchRecord, Selection
from penstock.brokers.mongodb.broker import MongoBroker
from penstock.brokers.transfer import Arrival
from penstock.core.limiter import Limit, gate
from penstock.core.outcome import Outcome, Step
from penstock.core.shipment import MovedJob, Shipment
from penstock.core.states import State
from penstock.testing.contract.harness import ALICE, claim, end, ids, job, jobs, new_id

ELSEWHERE = b"e" * 16
APPLES = gate("app.task", "AAPL", ordered=True)


class Killed(BaseException):
    """Ends a connection's owner as a kill does."""


class Killer(monitoring.CommandListener):
    """Sends none of the writes from that of a number on."""

    left: int | None = None

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if self.left is not None and event.command_name in {"insert", "update", "delete", "findAndModify"}:
            self.left -= 1
            if self.left < 0:
                raise Killed

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Of no interest."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Of no interest."""


KILLER = Killer()
monitoring.register(KILLER)


@pytest.fixture
def open_one(
    request: pytest.FixtureRequest, stores: dict[str, Any], tmp_path: Path, opened: Callable[[str], MongoBroker]
) -> Iterator[Callable[[], MongoBroker]]:
    url = stores["mongodb alone"](request, tmp_path)()
    yield lambda: opened(url)
    KILLER.left = None


def killed(number: int, work: Callable[[], object]) -> bool:
    """Whether the work was killed before its write of a number."""
    KILLER.left = number
    try:
        work()
    except Killed:
        return True
    finally:
        KILLER.left = None
    return False


def time_passes(broker: MongoBroker) -> None:
    """As long as a turn may take."""
    broker._opened.layout.meta.update_one({"_id": "turn"}, {"$set": {"until": 0.0}})


def shipped(broker: MongoBroker) -> Iterator[Shipment]:
    """All that can leave, as it leaves."""
    transfer = broker.transfer()
    while True:
        left = transfer.ship(ELSEWHERE, "elsewhere", None, 100)
        for one in transfer.pending():
            shipment = transfer.shipment(one.number)
            assert shipment is not None
            yield shipment
            transfer.discard(one.number)
        if left is None:
            return


def test_what_leaves(open_one: Callable[[], MongoBroker]) -> None:
    survivor = open_one()
    for number in range(40):
        batch = new_id()
        survivor.enqueue([*jobs(2, batch=batch), *jobs(2, gate=APPLES), job(unique="k"), job(dead=True)])
        sent = ids(survivor.inspector().list(Selection()))
        victim = open_one()
        was_killed = killed(number, lambda store=victim: store.transfer().ship(ELSEWHERE, "elsewhere", None, 100))
        time_passes(survivor)
        arrived: list[bytes] = []
        steps: list[Step] = []
        for shipment in shipped(survivor):
            arrived += ids(shipment.jobs)
            steps += shipment.steps
        assert sorted(arrived) == sorted(sent)
        assert steps == [Step(batch, total=2)]
        assert survivor._opened.layout.shipped.count_documents({}) == 0
        if not was_killed:
            assert number > 5
            return
    raise AssertionError("it never came through")


def test_what_arrives(open_one: Callable[[], MongoBroker]) -> None:
    survivor = open_one()
    # It would learn within a second that jobs keep an order.
    survivor.declare({"app.task": Limit(ordered=True)})
    for number in range(40):
        batch, known = new_id(), job()
        survivor.enqueue([known])
        moved = [
            MovedJob(new_id(), "app.task", b"p", State.READY, 1.0, batch=batch),
            MovedJob(new_id(), "app.task", b"p", State.READY, 1.0, gate=APPLES, placed=True),
            MovedJob(known.id, "app.task", b"p", State.READY, 1.0, batch=batch, items=5),
        ]
        shipment = Shipment(new_id(), tuple(moved), steps=(Step(batch, total=6),))
        victim = open_one()
        was_killed = killed(number, lambda store=victim, one=shipment: store.transfer().receive(one))
        time_passes(survivor)
        assert survivor.transfer().receive(shipment) in {Arrival(2, 1), None}
        assert survivor.inspector().batch(batch) == BatchRecord(batch, 1, 0, 0, 0)
        seen: list[bytes] = []
        while leases := claim(survivor):
            seen += ids(leases)
            survivor.exchange([Outcome(lease) for lease in leases], (), 0, ALICE)
        assert sorted(seen) == sorted(ids(moved))
        assert victim.transfer().receive(shipment) is None
        assert claim(survivor) == []
        if not was_killed:
            assert number > 5
            return
    raise AssertionError("it never came through")


def test_who_was_too_slow_stores_nothing(open_one: Callable[[], MongoBroker]) -> None:
    quick, slow = open_one(), open_one()
    shipment = Shipment(new_id(), (MovedJob(new_id(), "app.task", b"p", State.READY, 1.0),))
    with slow.transfer()._turn("arrive") as token:
        time_passes(quick)
        assert quick.transfer().receive(shipment) == Arrival(1, 0)
        end(quick, claim(quick)[0])
        assert slow._opened.layout.intents.find_one({"_id": token}) is not None
    assert slow.transfer().receive(shipment) is None
    assert claim(quick) == []
