"""Workflows whose workers, servers and connections are harmed at random: each ends, every job ran and counts once, and what the last step does is done once."""

import importlib
import random
import signal
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from harmed import HarmedMongo, HarmedPostgres, HarmedRedis
from oracle import FULL, HERE, SEED, Worker, send, until

from penstock.core.states import State
from penstock.errors import StoreUnavailable

FLOWS, CHORDS, WIDTH = (200, 10, 48) if FULL else (8, 4, 10)
KILLS = 60 if FULL else 5
#: Where it is the server that is harmed: it restarts so often, after so many cuts each time.
HARMED_FLOWS, RESTARTS, CUTS = (60, 20, 10) if FULL else (3, 2, 3)
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


class Play:
    """Workflows that are under way, and what must have become of them at their end."""

    def __init__(self, url: str, folder: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
        self.environment = {
            "CHAOS_URL": url,
            "CHAOS_TABLE_URL": f"sqlite:///{folder}/effects.db",
            "CHAOS_WORK": str(WORK),
        }
        self._count, self._table = count, folder / "effects.db"
        with closing(sqlite3.connect(self._table)) as effects:
            effects.execute("create table effects (flow integer, total integer)")
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.syspath_prepend(str(HERE))
        self._flows = importlib.reload(importlib.import_module("chaos_flows"))
        self.started = [self._flows.built(flow, CHORDS, WIDTH).delay() for flow in range(count)]

    def wait(self, seconds: float) -> None:
        """Until all have ended; the store may be away."""

        def is_over() -> bool:
            try:
                return all(each.state() is not State.RUNNING for each in self.started)
            except StoreUnavailable:
                return False

        until(is_over, seconds, "all workflows have ended")

    def check(self) -> None:
        """Every job counts once, and the last step of each workflow was done once."""
        for each in self.started:
            for stage in each.record().stages:
                assert (stage.done, stage.failed) == (stage.total, 0), f"PENSTOCK_CHAOS_SEED={SEED}"
        self._flows.app.close()
        ones = WIDTH * (WIDTH - 1) // 2
        # A graph adds up all of its chords; a chain's last chord is what it ends with.
        wanted = [(flow, ones if flow % 2 else ones * CHORDS) for flow in range(self._count)]
        with closing(sqlite3.connect(self._table)) as effects:
            assert effects.execute("select flow, total from effects order by flow, total").fetchall() == wanted


@pytest.mark.parametrize(
    "kind", ["sqlite", "postgresql", "mongodb", "lone mongodb", "redis"] if FULL else ["sqlite", "mongodb", "redis"]
)
def test_workflows_end_however_often_their_workers_are_killed(
    kind: str, new_place: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice, pause = random.Random(f"{SEED} {kind}"), threading.Event()
    play = Play(new_place(kind), tmp_path, monkeypatch, FLOWS)
    crew = Crew(tmp_path, play.environment, dice)
    try:
        for _ in range(KILLS):
            pause.wait(dice.uniform(0.2, 0.8))
            crew.harm()
        play.wait(1200 if FULL else 120)
    finally:
        crew.close()
    play.check()


@pytest.mark.parametrize(
    "harmed", ["postgresql", "mongodb", "redis"] if FULL else ["postgresql", "redis"], indirect=True
)
def test_workflows_end_whatever_becomes_of_their_server_and_connections(
    harmed: HarmedPostgres | HarmedMongo | HarmedRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice, pause, url = random.Random(SEED), threading.Event(), harmed.place()
    play = Play(url, tmp_path, monkeypatch, HARMED_FLOWS)
    crew = Crew(tmp_path, {**play.environment, "CHAOS_URL": harmed.through_proxy(url)}, dice)
    try:
        until(lambda: any(each.progress()[0] for each in play.started), 30, "jobs run")
        for number in range(RESTARTS):
            for _ in range(CUTS):
                pause.wait(dice.uniform(0.01, 0.15))
                dice.choice([harmed.proxy.cut, harmed.proxy.cut_before_answer, lambda: harmed.end_connections(dice)])()
            if number % 2:
                harmed.stop()
            else:
                harmed.kill()
            pause.wait(dice.uniform(0.0, 0.5))
            harmed.start()
        play.wait(1200 if FULL else 60)
    finally:
        crew.close()
    play.check()
