"""`kill -9` at random moments: nothing is lost, and only what ran or had just ended runs again."""

import os
import random
import signal
import threading
import time

import pytest
from account import check_runs
from oracle import FULL, KINDS, KINDS_IN_FULL, SEED, World, send, until, wait_for_exits

JOBS = 20_000 if FULL else 6_000
KILLS = 15 if FULL else 6


def fill(world: World, dice: random.Random) -> None:
    short = world.app.tasks["short"]
    short.delay_many([(number, dice.choice([50, 400, 1000])) for number in range(JOBS)])


@pytest.mark.parametrize(
    "world", [*KINDS_IN_FULL, "rabbitmq"] if FULL else [*KINDS, "redis", "rabbitmq"], indirect=True
)
def test_of_worker_processes_loses_nothing(world: World) -> None:
    dice, died = random.Random(SEED), dict[int, float]()
    fill(world, dice)
    worker = world.start()
    pause = threading.Event()
    while world.live() and len(died) < KILLS:
        pause.wait(dice.uniform(0.02, 0.4))
        ran = {note.pid for note in world.notes()}
        alive = [pid for pid in worker.children() if pid not in died and pid in ran]
        if alive:
            pid = dice.choice(alive)
            died[pid] = time.monotonic()
            send(pid, signal.SIGKILL)
    assert len(died) >= 3
    # On RabbitMQ a job that runs is not counted among those that are left.
    until(lambda: len(world.runs()) >= JOBS, 120, "every job has run")
    world.wait_until_done(120)
    assert worker.stop() == 0
    check_runs(world, JOBS, died)


@pytest.mark.parametrize("world", KINDS_IN_FULL, indirect=True)
def test_of_supervisors_loses_nothing(world: World) -> None:
    dice, died = random.Random(SEED + 1), dict[int, float]()
    fill(world, dice)
    pause = threading.Event()
    kills = 0
    while world.live() and kills < KILLS:
        before = len(world.notes())
        worker = world.start()
        world.wait_for_runs(before)
        pause.wait(dice.uniform(0.02, 0.3))
        for pid in worker.children():
            died[pid] = time.monotonic()
        worker.kill()
        kills += 1
    assert kills >= 3
    world.start()
    world.wait_until_done(120)
    check_runs(world, JOBS, died)


def test_of_a_supervisor_ends_its_processes(world: World) -> None:
    gate = str(world.folder / "never")
    world.app.tasks["held"].delay(0, gate)
    world.app.tasks["deaf"].delay(1)
    worker = world.start()
    until(lambda: len(world.notes("start")) == 2, 20, "both processes run a job")
    processes = worker.children()
    assert len(processes) == 2
    worker.kill()
    assert wait_for_exits(processes, 2.0) == []


@pytest.mark.parametrize("world", KINDS_IN_FULL, indirect=True)
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_of_a_worker_has_another_run_its_jobs_within_10_seconds(world: World, how: signal.Signals) -> None:
    gate = world.folder / "gate"
    world.app.tasks["held"].delay(0, str(gate))
    first = world.start(processes=1)
    until(lambda: len(world.notes("start")) == 1, 20, "the job runs")
    second = world.start(processes=1)
    until(lambda: len(second.children()) == 1, 20, "the second worker is up")
    frozen = first.tree()
    for pid in frozen:
        os.kill(pid, how)
    at = time.monotonic()
    until(lambda: len(world.notes("start")) == 2, 15, "the job runs again")
    assert world.notes("start")[1].at - at < 10
    gate.touch()
    if how is signal.SIGSTOP:
        # It comes back with an ending of its own, which is too late to count.
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
        until(lambda: len(world.notes()) == 2, 10, "both runs have ended")
    world.wait_until_done(10)
    assert {note.attempt for note in world.notes("start")} == {1}
    assert world.counts().dead == 0
    assert second.stop() == 0
