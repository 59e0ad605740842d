"""Servers that stop, die and cut connections: workers wait, say so once, go on by themselves, and lose and repeat nothing."""

import random
import signal
import threading
import time
from pathlib import Path

import pytest
from account import Outage, check_runs
from harmed import HarmedMongo, HarmedPostgres, HarmedRedis
from oracle import FULL, SEED, Worker, World, send, until

from penstock.errors import StoreUnavailable

Server = HarmedPostgres | HarmedMongo | HarmedRedis

#: In short, each kind of harm by itself meets one kind of server, and all of them together meet every kind.
ALL = ["postgresql", "mongodb", "redis"] if FULL else []
JOBS = 20_000 if FULL else 2_000
OUTAGES = 15 if FULL else 2
CUTS = 200 if FULL else 15


def fill(world: World, jobs: int = JOBS) -> None:
    dice = random.Random(SEED)
    world.app.tasks["short"].delay_many([(number, dice.choice([200, 1000, 2000])) for number in range(jobs)])


def check_words(worker: Worker, outages: int) -> None:
    """Each process says that the store is away once for each time it is, and no traceback."""
    said = worker.said()
    errors = [line for line in said if " ERROR " in line]
    assert [line for line in said if line[2:3] != ":" or line[5:6] != ":"] == [], said[-20:]
    # Two processes that run jobs, and the thread that watches over them.
    assert len(errors) <= 3 * outages, errors
    assert len([line for line in said if "answers again" in line]) <= 3 * outages


@pytest.mark.parametrize("harmed", ALL or ["mongodb"], indirect=True)
def test_of_a_server_lose_and_repeat_nothing(harmed: Server, harmed_world: World) -> None:
    world, dice = harmed_world, random.Random(SEED)
    fill(world)
    workers = [world.run("-c", "2") for _ in range(2)]
    pause = threading.Event()
    for number in range(OUTAGES):
        world.wait_for_runs(len(world.notes()))
        pause.wait(dice.uniform(0.1, 0.5))
        if number % 2:
            harmed.stop()
        else:
            harmed.kill()
        pause.wait(dice.uniform(0.0, 1.5))
        harmed.start()
    world.wait_until_done(120)
    check_runs(world, JOBS, {})
    assert {note.attempt for note in world.notes()} == {1}
    for worker in workers:
        assert worker.stop() == 0
        # A server that stops may turn new connections away and accept them again in between.
        check_words(worker, 2 * OUTAGES)


@pytest.mark.parametrize("harmed", ALL or ["postgresql"], indirect=True)
def test_longer_than_a_worker_may_be_silent_take_nobody_for_dead(harmed: Server, harmed_world: World) -> None:
    """When the server is back, every worker has been silent for longer than the dead are; none of them is."""
    world, gate = harmed_world, harmed_world.folder / "gate"
    world.app.tasks["held"].delay_many([(number, str(gate)) for number in range(4)])
    workers = [world.run("-c", "1") for _ in range(4)]
    until(lambda: len(world.notes("start")) == 4, 30, "every worker runs a job")
    harmed.kill()
    threading.Event().wait(9)
    if FULL:
        # One is slow to come back.
        send(workers[0].pid, signal.SIGSTOP)
    harmed.start()
    if FULL:
        until(lambda: len(heard_of(world)) == 3, 30, "the others are back")
        threading.Event().wait(7)
        send(workers[0].pid, signal.SIGCONT)
    until(lambda: len(heard_of(world)) == 4, 30, "all are back")
    threading.Event().wait(8)
    gate.touch()
    world.wait_until_done(30)
    assert len(world.notes("start")) == 4
    for worker in workers:
        assert worker.stop() == 0
        check_words(worker, 1)


@pytest.mark.parametrize("harmed", ALL or ["postgresql"], indirect=True)
def test_while_a_worker_follows_its_queue_leave_it_as_large_as_it_was(harmed: Server, harmed_world: World) -> None:
    world = harmed_world
    gate = world.folder / "gate"
    world.app.tasks["held"].delay_many([(number, str(gate)) for number in range(3)])
    worker = world.run("--autoscale", "4,1")
    until(lambda: len(world.notes("start")) >= 2, 30, "it grows")
    harmed.kill()
    size = len(worker.children())
    threading.Event().wait(13 if FULL else 2)
    # What it can't see is no reason to change; the slots are in use all the time.
    assert len(worker.children()) >= size
    harmed.start()
    until(lambda: len(world.notes("start")) == 3, 30, "it goes on")
    world.app.tasks["held"].delay_many([(number, str(gate)) for number in range(3, 5)])
    until(lambda: len(world.notes("start")) == 4, 30, "it grows as large as it may")
    gate.touch()
    world.wait_until_done(60)
    assert len(world.notes("start")) == len(world.notes()) == 5
    assert worker.stop() == 0
    check_words(worker, 2)


def heard_of(world: World) -> list[str]:
    """The workers that have beaten lately."""
    try:
        with world.app.inspector() as inspector:
            return [worker.id for worker in inspector.workers() if worker.silent_for < 3]
    except StoreUnavailable:
        return []


@pytest.mark.parametrize("harmed", ALL or ["postgresql"], indirect=True)
def test_of_connections_lose_and_repeat_nothing(harmed: Server, harmed_world: World) -> None:
    world, dice = harmed_world, random.Random(SEED)
    fill(world)
    workers = [world.run("-c", "2") for _ in range(2)]
    pause = threading.Event()
    world.wait_for_runs(0)
    for _ in range(CUTS):
        pause.wait(dice.uniform(0.01, 0.2))
        match dice.randrange(4):
            case 0:
                harmed.proxy.cut()
            case 1:
                harmed.proxy.cut_before_answer()
            case 2:
                harmed.proxy.cut_in_answer(dice.choice([1, 20, 200, 2000]))
            case _:
                harmed.end_connections(dice)
    world.wait_until_done(120)
    check_runs(world, JOBS, {})
    assert {note.attempt for note in world.notes()} == {1}
    for worker in workers:
        assert worker.stop() == 0
        check_words(worker, CUTS)


def test_with_kills_in_between_repeat_only_what_could_not_be_handed_in(harmed: Server, harmed_world: World) -> None:
    world, dice = harmed_world, random.Random(SEED)
    died, outages = dict[int, float](), list[Outage]()
    fill(world)
    workers = [world.run("-c", "2") for _ in range(2)]
    pause = threading.Event()
    for _ in range(2 * OUTAGES):
        world.wait_for_runs(len(world.notes()))
        pause.wait(dice.uniform(0.05, 0.4))
        chance = dice.random()
        if chance < 0.3:
            began = time.monotonic()
            harmed.kill()
            pause.wait(dice.uniform(0.0, 1.0))
            harmed.start()
            outages.append(Outage(began, time.monotonic()))
        elif chance < 0.5:
            began = time.monotonic()
            harmed.proxy.cut_before_answer()
            outages.append(Outage(began, time.monotonic() + 0.2))
        elif chance < 0.8:
            ran = {note.pid for note in world.notes()}
            alive = [pid for worker in workers for pid in worker.children() if pid not in died and pid in ran]
            for pid in alive[: dice.randint(1, 2)]:
                died[pid] = time.monotonic()
                send(pid, signal.SIGKILL)
        else:
            worker = workers.pop(0)
            for pid in worker.children():
                died[pid] = time.monotonic()
            worker.kill()
            workers.append(world.run("-c", "2"))
    world.wait_until_done(180)
    check_runs(world, JOBS, died, outages)


def processor_seconds(pids: list[int]) -> float:
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / 100


def resident_kilobytes(pids: list[int]) -> int:
    return sum(
        int(line.split()[1])
        for pid in pids
        for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
        if line.startswith("VmRSS:")
    )


@pytest.mark.parametrize("harmed", ALL or ["postgresql"], indirect=True)
def test_cost_nothing_while_they_last_and_are_told_once(harmed: Server, harmed_world: World) -> None:
    world = harmed_world
    seconds = 60 if FULL else 6
    world.app.tasks["short"].delay(0)
    worker = world.run("-c", "2")
    until(lambda: len(world.notes()) == 1 and len(worker.children()) == 2, 30, "the worker is up")
    pids = worker.tree()
    harmed.stop()
    threading.Event().wait(2)
    used, held = processor_seconds(pids), resident_kilobytes(pids)
    threading.Event().wait(seconds)
    assert processor_seconds(pids) - used < 0.03 * seconds
    assert resident_kilobytes(pids) - held < 10_000
    harmed.start()
    world.app.tasks["short"].delay(1)
    until(lambda: len(world.notes()) == 2, 20, "the worker goes on")
    assert worker.tree() == pids
    assert worker.stop() == 0
    check_words(worker, 1)


@pytest.mark.parametrize("harmed", ALL or ["mongodb"], indirect=True)
def test_in_which_connections_fall_silent_end_by_time_limits(harmed: Server, harmed_world: World) -> None:
    """A proxy holds the connections open and answers no more; new ones would be served."""
    world = harmed_world
    # Longer than half of what a worker may be silent for, and MongoDB's driver asks twice: who beats meanwhile has another connection.
    if harmed.scheme == "mongodb":
        world.worker_url += "&socketTimeoutMS=4000"
    elif harmed.scheme == "redis":
        world.worker_url += "&timeout=4"
    workers = [world.run("-c", "1") for _ in range(2)]
    # A worker that comes later, by connections that are not silent, may well take those for dead whose are.
    until(lambda: len(heard_of(world)) == 2, 30, "both are up")
    fill(world)
    world.wait_for_runs(50)
    harmed.proxy.fall_silent()
    silent_at = time.monotonic()
    world.wait_until_done(180)
    check_runs(world, JOBS, {})
    longest = 90 if harmed.scheme == "postgresql" else 20
    later = min(note.at for note in world.notes() if note.at > silent_at + 3)
    assert later - silent_at < longest
    for worker in workers:
        assert worker.stop() == 0
        check_words(worker, 3)
