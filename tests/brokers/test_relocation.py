"""Schedules that move from one store to another, whoever is killed meanwhile, and whatever comes due."""

import itertools
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from penstock.brokers import connect
from penstock.brokers.base import Broker
from penstock.brokers.relocation import Relocation
from penstock.brokers.schedules import ABSENT, Change, Due, Row, ScheduleStore
from penstock.brokers.timetable import Timetable
from penstock.core.schedule import CatchUp, Schedule, run_of
from penstock.testing.contract.harness import NOW, claim, ids

START = NOW - NOW % 600
NIGHTLY = Schedule("nightly", "app.task", b"payload", every=30.0, catch_up=CatchUp.ALL)
OTHER = Schedule("other", "app.task", b"payload", every=60.0)


class Killed(BaseException):
    """Ends a mover as a kill does."""


class Dying:
    """A store's schedules, for a mover that is killed before one of its changes."""

    def __init__(self, store: ScheduleStore, left: list[int]) -> None:
        self._store = store
        self._left = left

    def read(self, names: Any = None) -> list[Row]:
        return self._store.read(names)

    def due(self, limit: int, *, now: float | None = None) -> Due:
        return self._store.due(limit, now=now)

    def change(self, changes: Any, *, now: float | None = None) -> list[bool]:
        self._left[0] -= 1
        if self._left[0] < 0:
            raise Killed
        return self._store.change(changes, now=now)


@pytest.fixture
def pair(tmp_path: Path, opened: Callable[[str], Broker]) -> tuple[Broker, Broker]:
    return opened(f"sqlite:///{tmp_path}/source.db"), opened(f"sqlite:///{tmp_path}/destination.db")


def move(source: Broker, destination: Broker, now: float = START) -> int:
    return Relocation(source.schedules(), destination.schedules()).run(now=now)


def test_they_leave_one_store_and_go_on_in_the_other(
    stores: dict[str, Any], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        chain = [
            connect(stores[kind](request, tmp_path)())
            for kind in ("sqlite", "postgresql", "mongodb", "redis", "sqlite")
        ]
        for broker in chain:
            stack.callback(broker.close)
            broker.open()
        Timetable(chain[0].schedules()).declare([NIGHTLY, OTHER, replace(OTHER, name="still")], now=START)
        Timetable(chain[0].schedules()).pause(["still"], now=START)
        before = Timetable(chain[0].schedules()).entries()
        for source, destination in itertools.pairwise(chain):
            assert move(source, destination) == 3
            assert move(source, destination) == 0
            assert Timetable(source.schedules()).entries() == []
            assert Timetable(source.schedules()).fire(now=START + 600).runs == 0
        timetable = Timetable(chain[-1].schedules())
        assert timetable.entries() == before
        assert timetable.fire(now=START + 30).runs == 1
        assert ids(claim(chain[-1], now=START + 31)) == [run_of(NIGHTLY, START + 30).id]


def test_killed_anywhere_and_run_again_each_run_comes_once(tmp_path: Path, opened: Callable[[str], Broker]) -> None:
    for number in range(20):
        source, destination = (opened(f"sqlite:///{tmp_path}/{side}{number}.db") for side in ("source", "destination"))
        Timetable(source.schedules()).declare([NIGHTLY, OTHER], now=START)
        left = [number]
        killed = False
        try:
            Relocation(Dying(source.schedules(), left), Dying(destination.schedules(), left)).run(now=START)
        except Killed:
            killed = True
        # The workers of both places go on, whoever has what.
        got: list[bytes] = []
        for broker in (source, destination):
            Timetable(broker.schedules()).fire(now=START + 30)
            got += ids(claim(broker, now=START + 31))
        assert len(got) == len(set(got))
        move(source, destination, START + 40)
        assert Timetable(source.schedules()).entries() == []
        for broker in (source, destination):
            Timetable(broker.schedules()).fire(now=START + 119)
            got += ids(claim(broker, now=START + 120))
        due = [run_of(NIGHTLY, START + seconds).id for seconds in (30, 60, 90)]
        assert sorted(got) == sorted([*due, run_of(OTHER, START + 60).id])
        if not killed:
            assert number == 5
            return
    raise AssertionError("it was never let through")


def test_what_comes_due_meanwhile_comes_once(pair: tuple[Broker, Broker]) -> None:
    source, destination = pair
    timetable = Timetable(source.schedules())
    timetable.declare([NIGHTLY], now=START)
    fired: list[int] = []

    class Busy(Dying):
        """A run comes due just before the schedule is to leave."""

        def change(self, changes: Any, *, now: float | None = None) -> list[bool]:
            if not fired:
                fired.append(timetable.fire(now=START + 30).runs)
            return super().change(changes, now=now)

    assert Relocation(Busy(source.schedules(), [9]), destination.schedules()).run(now=START + 30) == 1
    assert fired == [1]
    assert Timetable(destination.schedules()).fire(now=START + 31).runs == 0
    assert Timetable(destination.schedules()).fire(now=START + 60).runs == 1


def test_what_the_new_place_declares_stays_and_knows_what_was_said_at_the_old_one(pair: tuple[Broker, Broker]) -> None:
    source, destination = pair
    old, new = Timetable(source.schedules()), Timetable(destination.schedules())
    newer = replace(NIGHTLY, payload=b"newer")
    old.declare([NIGHTLY, OTHER], now=START)
    new.declare([newer, OTHER, replace(NIGHTLY, name="third")], now=START)
    old.pause(["nightly"], now=START)
    old.change("other", lambda one: replace(one, every=120.0), now=START)
    assert move(source, destination) == 2
    entry = new.get("nightly")
    assert (entry.schedule, entry.paused) == (newer, True)
    assert (new.get("other").schedule.every, new.get("other").changed) == (120.0, True)
    assert [name for name, _ in new.entries()] == ["nightly", "other", "third"]


def test_no_due_time_that_had_its_run_has_another(pair: tuple[Broker, Broker]) -> None:
    source, destination = pair
    old, new = Timetable(source.schedules()), Timetable(destination.schedules())
    for timetable in (old, new):
        timetable.declare([NIGHTLY], now=START)
    assert old.fire(now=START + 60).runs == 2
    assert move(source, destination, START + 60) == 1
    assert new.fire(now=START + 61).runs == 0
    assert new.fire(now=START + 90).runs == 1


def test_what_cannot_be_read_moves_as_it_is(pair: tuple[Broker, Broker]) -> None:
    source, destination = pair
    strange = Row("strange", 1, START + 5, b"\xc1")
    source.schedules().change([Change("strange", ABSENT, strange)])
    assert move(source, destination) == 1
    (arrived,) = destination.schedules().read()
    assert replace(arrived, version=1) == strange
    source.schedules().change([Change("strange", ABSENT, strange)])
    assert move(source, destination) == 1
    assert source.schedules().read() == []


def test_a_store_is_not_moved_to_itself(pair: tuple[Broker, Broker]) -> None:
    source, _ = pair
    Timetable(source.schedules()).declare([NIGHTLY], now=START)
    assert move(source, source) == 0
    assert [name for name, _ in Timetable(source.schedules()).entries()] == ["nightly"]
