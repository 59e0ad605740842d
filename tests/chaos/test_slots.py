"""`kill -9` of processes of many slots: what ran in all of them runs again, and nothing else does."""

import random
import signal
import threading
from collections import Counter, defaultdict

import pytest
from oracle import FULL, KINDS_AND_RABBITMQ, SEED, Note, World, send, until

POOLS = ["threads", "gevent", "asyncio"]
SLOTS = 16
JOBS = 20_000 if FULL else 3_000
KILLS = 25 if FULL else 3
#: Runs of a process that may be repeated beyond those that were under way: what ended in the last moment, which no exchange
#: had handed in. About 10 ms are promised; on a machine that does much else, a process may not run for some tenths of a second.
UNHEARD = 0.5


def most_at_once(world: World) -> int:
    """How many jobs ran at the same time in one process, at most."""
    moves = [(note.at, 1, note.pid) for note in world.notes("start")] + [(n.at, -1, n.pid) for n in world.notes()]
    running, most = Counter[int](), 0
    for _, step, pid in sorted(moves):
        running[pid] += step
        most = max(most, running[pid])
    return most


def check(world: World, died: set[int]) -> None:
    """Every job ended; what ran twice had run in a process that was killed, at its end."""
    runs = world.runs()
    assert set(runs) == set(range(JOBS)), f"PENSTOCK_CHAOS_SEED={SEED}"
    assert {note.attempt for note in world.notes("start")} == {1}
    counts = world.counts()
    assert (counts.dead, counts.ready, counts.running) == (0, 0, 0)
    last: dict[int, float] = defaultdict(float)
    for note in world.notes("start") + world.notes():
        last[note.pid] = max(last[note.pid], note.at)
    repeated = [note for notes in runs.values() for note in notes[:-1]]
    assert {note.pid for note in repeated} <= died, f"PENSTOCK_CHAOS_SEED={SEED}"
    early = [note for note in repeated if note.at < last[note.pid] - UNHEARD]
    assert early == [], f"PENSTOCK_CHAOS_SEED={SEED}: {len(early)} of {len(repeated)} were repeated too late"
    assert unended(world, died) == [], f"PENSTOCK_CHAOS_SEED={SEED}: started, and never ended, in processes that live"


def unended(world: World, died: set[int]) -> list[Note]:
    ended = {(note.number, note.pid) for note in world.notes()}
    return [n for n in world.notes("start") if (n.number, n.pid) not in ended and n.pid not in died]


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("world", KINDS_AND_RABBITMQ, indirect=True)
def test_loses_nothing_and_burns_no_attempt(world: World, pool: str) -> None:
    dice, died = random.Random(SEED), set[int]()
    short, waiting, awaiting = (world.app.tasks[name] for name in ("short", "waiting", "awaiting"))
    for first in range(0, JOBS, 50):
        task = dice.choice([waiting, awaiting, short])
        longest = 200 if task is short else 20
        task.delay_many([(number, dice.randrange(longest)) for number in range(first, first + 50)])
    worker = world.start(pool=pool, slots=SLOTS)
    pause = threading.Event()
    kills = 0
    while kills < KILLS and world.live():
        ran = {note.pid for note in world.notes("start")}
        busy = [pid for pid in worker.children() if pid in ran - died]
        if busy:
            kills += 1
            if FULL and dice.random() < 0.2:
                # With its supervisor: another worker finds what it held.
                died.update(worker.tree())
                worker.kill()
                worker = world.start(pool=pool, slots=SLOTS)
            else:
                pid = dice.choice(busy)
                died.add(pid)
                send(pid, signal.SIGKILL)
        pause.wait(dice.uniform(0.05, 0.3))
    assert kills >= 2
    # On RabbitMQ a job that runs is not counted.
    until(lambda: world.live() == 0 and len(world.runs()) == JOBS, 120, "every job has run")
    assert worker.stop() == 0
    # All slots at once is the next test's: how many find work at the same moment depends on what else the machine does.
    assert most_at_once(world) > 1
    check(world, died)


@pytest.mark.parametrize("pool", POOLS)
def test_a_job_in_each_slot_runs_again(world: World, pool: str) -> None:
    gate = world.folder / "gate"
    world.app.tasks["held"].delay_many([(number, str(gate)) for number in range(SLOTS)])
    worker = world.start(pool=pool, slots=SLOTS, processes=1)
    until(lambda: len(world.notes("start")) == SLOTS, 20, "a job runs in each slot")
    (process,) = worker.children()
    send(process, signal.SIGKILL)
    gate.touch()
    world.wait_until_done(20)
    assert worker.stop() == 0
    assert sorted(note.number for note in world.notes()) == list(range(SLOTS))
    assert Counter(note.number for note in world.notes("start")) == dict.fromkeys(range(SLOTS), 2)
    assert {note.attempt for note in world.notes()} == {1}
