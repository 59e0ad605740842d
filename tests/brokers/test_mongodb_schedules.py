"""Schedules on MongoDB: who died in the middle of a transaction holds up nobody, and what goes into one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from penstock.brokers.mongodb.broker import MongoBroker
from penstock.brokers.mongodb.documents import LARGEST
from penstock.brokers.mongodb.schedules import _JOBS, _parts
from penstock.brokers.schedules import Change, Row
from penstock.brokers.timetable import Timetable
from penstock.core.schedule import Schedule, run_of
from penstock.stores import mongodb as store
from penstock.testing.contract.harness import NOW, claim, ids, job

SCHEDULES = [Schedule(name, "app.task", b"payload", every=30.0) for name in ("a", "b", "c")]
BEGAN = NOW - NOW % 30


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
