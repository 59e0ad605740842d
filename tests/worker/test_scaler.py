"""Lanes that follow their queues, on real processes."""

from collections.abc import Sequence

import pytest
from yard import Yard, until

from penstock.core import scale
from penstock.core.extent import Extent
from penstock.events.emit import LaneResized
from penstock.worker.lane import Lane
from penstock.worker.program import Program
from penstock.worker.scaler import Scaler
from penstock.worker.supervisor import Supervisor

TASKS = """
@app.task
def hold():
    while not (FOLDER / "go").exists():
        time.sleep(0.01)
"""


def supervisor_of(yard: Yard, lane: Lane) -> Supervisor:
    return Supervisor(Program("penstock.cli.process"), [lane], yard.emitter)


def test_a_lane_grows_while_work_waits_and_shrinks_when_it_is_done(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "SPARE", 1.0)
    monkeypatch.setattr(scale, "STEP_DOWN", 0.1)
    yard.write(TASKS)
    supervisor = supervisor_of(yard, Lane("yard_app:app", 3, least=1, most=3))
    scaler = Scaler(supervisor, {0: Extent(3, 1, 1)}, yard.emitter)
    supervisor.registered = scaler.start
    yard.run(supervisor)
    try:
        until(lambda: supervisor.lanes()[0].booted == 1, "the first is up")
        assert supervisor.lanes()[0].processes == 1
        for _ in range(5):
            yard.send("yard_app.hold")
        until(lambda: supervisor.lanes()[0].busy == 3, "all three run jobs")
        (yard.folder / "go").touch()
        until(lambda: supervisor.lanes()[0].running == 1, "two have left")
        resized = [event for event in yard.events if isinstance(event, LaneResized)]
        assert [event.processes for event in resized] == [2, 3, 2, 1]
        assert resized[0].queues == ("default",)
        assert "jobs waited" in resized[0].why
        assert "in use" in resized[-1].why
        assert supervisor.lanes()[0].why == resized[-1].why
    finally:
        scaler.stop()


def test_slots_in_use_grow_first_and_processes_after_them(yard: Yard) -> None:
    yard.write(TASKS)
    supervisor = supervisor_of(yard, Lane("yard_app:app", 2, "threads", 4, least=2, most=8))
    scaler = Scaler(supervisor, {0: Extent(2, 4, 2)}, yard.emitter)
    supervisor.registered = scaler.start
    yard.run(supervisor)
    try:
        for _ in range(12):
            yard.send("yard_app.hold")
        until(lambda: supervisor.lanes()[0].busy == 8, "all slots of both processes run jobs")
        sizes = [(event.processes, event.slots) for event in yard.events if isinstance(event, LaneResized)]
        assert sizes == [(1, 4), (2, 4)]
        (yard.folder / "go").touch()
    finally:
        scaler.stop()


def test_a_budget_of_memory_keeps_it_small(yard: Yard) -> None:
    yard.write(TASKS)
    supervisor = supervisor_of(yard, Lane("yard_app:app", 8, least=1, most=8))
    looks: list[int] = []

    def measure(pids: Sequence[int]) -> int:
        looks.append(len(pids))
        return len(pids) * 10 << 30

    scaler = Scaler(supervisor, {0: Extent(8, 1, 1)}, yard.emitter, budget=25 << 30, measure=measure)
    supervisor.registered = scaler.start
    yard.run(supervisor)
    try:
        for _ in range(9):
            yard.send("yard_app.hold")
        until(lambda: supervisor.lanes()[0].busy == 2, "there is room for two")
        looks.clear()
        until(lambda: len(looks) >= 5, "more looks")
        assert set(looks) == {2}
        (yard.folder / "go").touch()
    finally:
        scaler.stop()
