"""Schedules on MongoDB: who died in the middle of a transaction holds up nobody, and what goes into one."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from penstock.brokers.mongodb.broker import MongoBroker
from penstock.brokers.mongodb.documents import LARGEST
from penstock.brokers.mongodb.schedules import _JOBS, _MANY, _parts
from penstock.brokers.schedules import Begun, Change, Row
from penstock.brokers.timetable import Timetable
from penstock.core.schedule import Schedule, run_of
from penstock.stores import mongodb as store
from penstock.testing.contract.harness import NOW, QUEUE, claim, ids, job

SCHEDULES = [Schedule(name, "app.task", b"payload", every=30.0) for name in ("a", "b", "c")]
BEGAN = NOW - NOW % 30
#: Due together, and so many that they are begun ahead.
MANY = [Schedule(f"schedule {n}", "app.task", b"payload", every=30.0) for n in range(_MANY)]
RUNS = {run_of(one, BEGAN + 30).id for one in MANY}


@pytest.fixture
def open_one(
    request: pytest.FixtureRequest, stores: dict[str, Any], tmp_path: Path, opened: Callable[[str], MongoBroker]
) -> Callable[[], MongoBroker]:
    url = stores["mongodb"](request, tmp_path)()
    return lambda: opened(url)


def test_who_died_in_a_transaction_holds_up_nobody(
    open_one: Callable[[], MongoBroker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_LOCKED", 0.05)
    survivor, dead = open_one(), open_one()
    timetable = Timetable(survivor.schedules())
    timetable.declare(SCHEDULES, now=BEGAN)
    for due, act in (
        (BEGAN + 30, lambda: timetable.fire(now=BEGAN + 30).runs == 3),
        (BEGAN + 60, lambda: timetable.pause(["a"]) == 1),
    ):
        parts = dead._opened
        with parts.client.start_session() as session:
            session.start_transaction()
            assert parts.layout.schedules.update_many({}, {"$set": {"next_at": due}}, session=session).matched_count
            assert act()
    assert timetable.fire(now=BEGAN + 60).runs == 2
    assert len(claim(survivor)) == 5


def test_the_jobs_of_a_transaction_wake_the_workers_by_its_commit(open_one: Callable[[], MongoBroker]) -> None:
    broker = open_one()
    timetable = Timetable(broker.schedules())
    timetable.declare(SCHEDULES, now=BEGAN)
    layout = broker._opened.layout
    rings = layout.bell.count_documents({})
    timetable.fire(now=BEGAN + 30)
    assert (layout.jobs.count_documents({"ring": True}), layout.bell.count_documents({})) == (1, rings)
    assert ids(claim(broker)) == [run_of(one, BEGAN + 30).id for one in SCHEDULES]


def test_a_transaction_has_so_many_jobs_and_bytes_at_most() -> None:
    def change(name: str, jobs: int, size: int = 1) -> Change:
        return Change(name, 1, Row(name, 2, None, b"body"), tuple(job(payload=bytes(size)) for _ in range(jobs)))

    def sizes(*changes: Change) -> list[int]:
        return [len(part) for part in _parts(changes)]

    assert sizes() == []
    assert sizes(change("a", 1), change("b", 1)) == [2]
    assert sizes(change("a", _JOBS), change("b", 1), change("c", _JOBS - 1), change("d", 1)) == [1, 2, 1]
    assert sizes(change("a", 1, LARGEST // 2), change("b", 1, LARGEST // 2), change("c", 1, 2 * LARGEST)) == [1, 1, 1]


class TestBegunAhead:
    """Half a second before many runs are due, all is written but for the commit."""

    @pytest.fixture
    def broker(self, open_one: Callable[[], MongoBroker]) -> MongoBroker:
        return open_one()

    @pytest.fixture
    def mine(self, broker: MongoBroker) -> Timetable:
        timetable = Timetable(broker.schedules())
        timetable.declare(MANY, now=BEGAN)
        fired = timetable.fire(now=BEGAN + 29.5)
        assert (fired.runs, fired.next_in) == (0, pytest.approx(0.5))
        return timetable

    @pytest.fixture
    def others(self, open_one: Callable[[], MongoBroker]) -> Timetable:
        return Timetable(open_one().schedules())

    def test_nobody_sees_or_takes_it_before_it_is_due(
        self, broker: MongoBroker, mine: Timetable, others: Timetable, open_one: Callable[[], MongoBroker]
    ) -> None:
        assert (broker.depth(QUEUE), others.get("schedule 0").due) == (0, BEGAN + 30)
        assert mine.fire(now=BEGAN + 29.9).runs == 0
        rows = open_one().schedules()
        (row,) = rows.due(1, now=BEGAN + 30).rows
        taken = Change(row.name, row.version, Row(row.name, 2, None, b"body"), (job(),))
        assert rows.change([taken], now=BEGAN + 30) == [False]
        assert mine.fire(now=BEGAN + 30).runs == _MANY
        assert {lease.id for lease in claim(broker, _MANY)} == RUNS
        assert (others.fire(now=BEGAN + 30).runs, others.get("schedule 0").due) == (0, BEGAN + 60)

    def test_whoever_began_it_knows_by_itself_when_it_is_due(
        self, mine: Timetable, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        moment = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: moment)
        assert not mine.is_pressing
        moment += 0.51
        assert mine.is_pressing
        fired = mine.fire(now=BEGAN + 30)
        assert (fired.runs, fired.next_in) == (len(MANY), 0.0)
        assert not mine.is_pressing

    def test_what_it_takes_to_begin_it_makes_nothing_late(
        self, open_one: Callable[[], MongoBroker], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        broker, passed = open_one(), 0.0
        schedules = broker.schedules()
        timetable = Timetable(schedules)
        now = broker._opened.clock.now()
        # Of which the moment in which they are due is a multiple.
        timetable.declare([replace(one, every=(now + 0.7) / 2) for one in MANY], now=now)
        begin, monotonic = schedules.begin, time.monotonic

        def slow(changes: Sequence[Change], *, now: float | None = None) -> Begun | None:
            nonlocal passed
            begun = begin(changes, now=now)
            passed += 0.4
            return begun

        monkeypatch.setattr(schedules, "begin", slow)
        monkeypatch.setattr(time, "monotonic", lambda: monotonic() + passed)
        fired = timetable.fire()
        assert passed, "it was begun"
        assert fired.next_in is not None
        assert fired.next_in <= 0.3
        timetable.close()

    def test_whoever_changes_one_waits_until_it_has_run(
        self, broker: MongoBroker, mine: Timetable, others: Timetable
    ) -> None:
        with ThreadPoolExecutor(1) as thread:
            paused = thread.submit(others.pause, ["schedule 0"])
            with pytest.raises(TimeoutError):
                paused.result(0.2)
            assert mine.fire(now=BEGAN + 30).runs == _MANY
            assert paused.result(20) == 1
        assert mine.fire(now=BEGAN + 60).runs == _MANY - 1

    def test_what_is_due_earlier_by_a_new_schedule_has_nothing_to_do_with_it(
        self, broker: MongoBroker, mine: Timetable, others: Timetable
    ) -> None:
        others.add(Schedule("often", "app.task", b"payload", every=0.1), now=BEGAN + 29.65)
        assert mine.fire(now=BEGAN + 29.75).runs == 1
        assert len(claim(broker, _MANY)) == 1
        others.remove(["often"])
        assert mine.fire(now=BEGAN + 30).runs == _MANY

    @pytest.mark.parametrize("now", [BEGAN + 20, BEGAN + 29.15], ids=["far", "near"])
    def test_a_clock_that_is_set_back_has_it_dropped(self, mine: Timetable, others: Timetable, now: float) -> None:
        assert mine.fire(now=now).runs == 0
        assert others.pause(["schedule 0"]) == 1
        assert others.fire(now=BEGAN + 30).runs == _MANY - 1
        assert mine.fire(now=BEGAN + 30).runs == 0

    def test_who_comes_late_works_it_out_anew(self, broker: MongoBroker, mine: Timetable) -> None:
        assert mine.fire(now=BEGAN + 92).runs == _MANY
        assert {lease.id for lease in claim(broker, _MANY)} == {run_of(one, BEGAN + 90).id for one in MANY}

    def test_who_dies_holds_up_nobody_and_comes_too_late(
        self, broker: MongoBroker, mine: Timetable, others: Timetable, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(store, "_LOCKED", 0.05)
        assert others.fire(now=BEGAN + 30).runs == _MANY
        assert mine.fire(now=BEGAN + 30).runs == 0
        assert {lease.id for lease in claim(broker, 2 * _MANY)} == RUNS

    def test_who_leaves_lets_others_have_it_at_once(self, mine: Timetable, others: Timetable) -> None:
        mine.close()
        assert others.fire(now=BEGAN + 30).runs == _MANY

    def test_not_where_somebody_may_want_a_key_or_there_are_few(self, broker: MongoBroker) -> None:
        rows = broker.schedules()
        runs = [Change(f"{n}", 1, Row(f"{n}", 2, None, b"body"), (job(),)) for n in range(_MANY)]
        assert rows.begin(runs[1:], now=NOW) is None
        assert rows.begin([*runs[1:], replace(runs[0], jobs=(job(unique="key"),))], now=NOW) is None
