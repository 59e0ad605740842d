"""Workflows whose workers are killed at random: each ends, every job ran and counts once, and what the last step does is done once."""

import importlib
import random
import signal
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from oracle import FULL, HERE, SEED, Worker, send, until

from penstock.core.states import State
from penstock.errors import StoreUnavailable

FLOWS, CHORDS, WIDTH = (200, 10, 48) if FULL else (8, 4, 10)
KILLS = 60 if FULL else 5
#: Seconds that a job takes: all of them together take longer than the kills.
WORK = 0.002 if FULL else 0.02


class Crew:
    """Two workers, of which now and then a process is killed, or all of one."""

    def __init__(self, folder: Path, environment: dict[str, str], dice: random.Random) -> None:
        self._folder, self._environment, self._dice = folder, environment, dice
        self.workers = [self._start(), self._start()]

    def _start(self) -> Worker:
        return Worker(["-m", "penstock", "worker", "chaos_flows:app", "-c", "2"], self._folder, self._environment)

    def harm(self) -> None:
        place = self._dice.randrange(2)
        if self._dice.random() < 0.6:
            for pid in self.workers[place].children():
                if self._dice.random() < 0.7:
                    send(pid, signal.SIGKILL)
        else:
            self.workers[place].close()
            self.workers[place] = self._start()

    def close(self) -> None:
        for worker in self.workers:
            worker.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"] if FULL else ["sqlite"])
def test_workflows_end_however_often_their_workers_are_killed(
    kind: str, new_place: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice, pause = random.Random(f"{SEED} {kind}"), threading.Event()
    environment = {
        "CHAOS_URL": new_place(kind),
        "CHAOS_TABLE_URL": f"sqlite:///{tmp_path}/effects.db",
        "CHAOS_WORK": str(WORK),
    }
    with sqlite3.connect(tmp_path / "effects.db") as effects:
        effects.execute("create table effects (flow integer, total integer)")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(str(HERE))
    flows = importlib.reload(importlib.import_module("chaos_flows"))
    started = [flows.built(flow, CHORDS, WIDTH).delay() for flow in range(FLOWS)]
    crew = Crew(tmp_path, environment, dice)
    try:
        for _ in range(KILLS):
            pause.wait(dice.uniform(0.2, 0.8))
            crew.harm()

        def is_over() -> bool:
            try:
                return all(each.state() is not State.RUNNING for each in started)
            except StoreUnavailable:
                return False

        until(is_over, 1200 if FULL else 120, f"all workflows have ended, PENSTOCK_CHAOS_SEED={SEED}")
    finally:
        crew.close()
    for each in started:
        for stage in each.record().stages:
            assert (stage.done, stage.failed) == (stage.total, 0), f"PENSTOCK_CHAOS_SEED={SEED}"
    flows.app.close()
    ones = WIDTH * (WIDTH - 1) // 2
    # A graph adds up all of its chords; a chain's last chord is what it ends with.
    wanted = [(flow, ones if flow % 2 else ones * CHORDS) for flow in range(FLOWS)]
    assert effects.execute("select flow, total from effects order by flow, total").fetchall() == wanted
    effects.close()
