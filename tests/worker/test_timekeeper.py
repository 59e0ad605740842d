"""Runs of schedules that start when they are due."""

import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from penstock.brokers import connect
from penstock.brokers.base import Broker, Feature
from penstock.brokers.schedules import ABSENT, Change, Row, new_version
from penstock.brokers.timetable import Timetable
from penstock.core.schedule import Schedule
from penstock.events.emit import Emitter, Event, ScheduleTrouble
from penstock.worker.timekeeper import Timekeeper


class Setup:
    def __init__(self, url: str) -> None:
        self.broker: Broker = connect(url)
        self.broker.open()
        self.woken: list[int] = []
        self.events: list[Event] = []
        emitter = Emitter()
        emitter.subscribe(Event, self.events.append)
        self.timekeeper = Timekeeper(self.broker, emitter, self.woken.append)

    def due(self, count: int) -> None:
        moment = time.time() - 1
        # Of which the moment is a multiple.
        schedules = [Schedule(f"schedule {n}", "app.task", b"payload", every=moment / 2) for n in range(count)]
        Timetable(self.broker.schedules()).declare(schedules, now=moment - 1)


@pytest.fixture
def setup(queue_url: str) -> Iterator[Setup]:
    setup = Setup(queue_url)
    with closing(setup.broker), closing(setup.timekeeper):
        yield setup


@pytest.mark.parametrize(("runs", "woken"), [(99, []), (100, [1]), (250, [2])])
def test_many_runs_at_once_wake_several_processes_together(setup: Setup, runs: int, woken: list[int]) -> None:
    setup.due(runs)
    setup.timekeeper.fire()
    assert setup.broker.depth("default") == runs
    assert setup.woken == woken
    setup.timekeeper.fire()
    assert setup.woken == woken


def test_what_can_not_be_read_is_told(setup: Setup) -> None:
    row = Row("broken", new_version(), time.time() - 1, b"no entry")
    assert setup.broker.schedules().change([Change("broken", ABSENT, row)]) == [True]
    setup.timekeeper.fire()
    (trouble,) = setup.events
    assert isinstance(trouble, ScheduleTrouble)
    assert trouble.name == "broken"


def test_a_store_that_keeps_no_schedules(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(setup.broker), "features", setup.broker.features - {Feature.SCHEDULES})
    without = Timekeeper(setup.broker, Emitter(), setup.woken.append)
    assert without.fire() is None
    assert not without.is_pressing
    without.close()
