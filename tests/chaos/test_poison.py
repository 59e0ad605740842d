"""A job that kills its process hurts only itself."""

import random
import time

import pytest
from oracle import FULL, KINDS_AND_REDIS, KINDS_IN_FULL, SEED, World

from penstock.brokers.inspect import Selection
from penstock.core.states import State
from penstock.errors import JobFailed

GOOD, BAD = (100_000, 1_000) if FULL else (2_000, 20)


@pytest.mark.parametrize("world", KINDS_AND_REDIS, indirect=True)
def test_it_is_a_dead_letter_after_three_crashes_and_its_neighbours_finish(world: World) -> None:
    short, deadly = world.app.tasks["short"], world.app.tasks["deadly"]
    short.delay_many([(number,) for number in range(200)])
    poison = [deadly.delay(number, how) for number, how in enumerate(["kill", "exit 1", "exit 0"])]
    short.delay_many([(number,) for number in range(200, 400)])
    worker = world.start(burst=True)
    assert worker.process.wait(60) == 0
    how = ["was killed by SIGKILL", "ended with status 1", "ended with status 0"]
    for job, end in zip(poison, how, strict=True):
        with pytest.raises(JobFailed, match=rf"Crashed: the process that ran it died, 3 times over; the last {end}"):
            job.result(0)
    with world.app.inspector() as inspector:
        records = inspector.list(Selection(state=State.DEAD))
    assert [(record.attempt, record.crashes) for record in records] == [(0, 3)] * 3
    assert [sum(note.number == number for note in world.notes("start")) for number in range(3)] == [3, 3, 3]
    assert len(world.notes("died")) == 9
    assert set(world.runs()) == set(range(400))
    assert {note.attempt for note in world.notes()} == {1}
    assert world.counts().dead == 3


@pytest.mark.parametrize("world", KINDS_IN_FULL, indirect=True)
def test_it_leaves_its_packed_row_and_the_other_items_finish(world: World) -> None:
    numbers = list(range(100))
    numbers[40] = -1
    batch = world.app.tasks["item"].map(numbers)
    worker = world.start(burst=True)
    assert worker.process.wait(60) == 0
    counts = batch.counts()
    assert (counts.total, counts.done, counts.failed) == (100, 99, 1)
    assert set(world.runs()) == set(numbers) - {-1}
    assert {note.attempt for note in world.notes()} == {1}
    assert world.counts().dead == 1


def test_many_of_them_among_good_ones_harm_no_one(world: World) -> None:
    dice = random.Random(SEED)
    places = set(dice.sample(range(GOOD + BAD), BAD))
    short, deadly = world.app.tasks["short"], world.app.tasks["deadly"]
    good = bad = 0
    for first in range(0, GOOD + BAD, 100):
        block = [place in places for place in range(first, min(first + 100, GOOD + BAD))]
        poison = [(bad + number, dice.choice(["kill", "segfault"])) for number in range(sum(block))]
        short.delay_many([(good + number, 200) for number in range(len(block) - len(poison))])
        deadly.delay_many(poison)
        good, bad = good + len(block) - len(poison), bad + len(poison)
    worker = world.start()
    began = time.monotonic()
    world.wait_until_done(60 + 2 * BAD)
    print(f"{BAD} among {GOOD}: {time.monotonic() - began:.1f} s, {3 * BAD} processes replaced")
    assert worker.process.poll() is None
    runs = world.runs()
    assert set(runs) == set(range(GOOD))
    assert {note.attempt for note in world.notes()} == {1}
    starts = [note.number for note in world.notes("start")]
    assert sorted(starts) == sorted(3 * list(range(BAD)))
    assert world.counts().dead == BAD
    idle = [note for note in world.notes("died") if note.number == 0]
    assert idle == [], (SEED, worker.said())
    assert len(world.notes("died")) == 3 * BAD
    assert worker.stop() == 0


def test_its_dead_letter_tells_where_it_crashed_and_what_it_had_said(world: World) -> None:
    job = world.app.tasks["deadly"].delay(7, "segfault")
    worker = world.start(burst=True)
    assert worker.process.wait(60) == 0
    with pytest.raises(JobFailed) as caught:
        job.result(0)
    assert "the last was killed by SIGSEGV after 0." in str(caught.value)
    lines = caught.value.traceback.splitlines()
    assert lines[0] == "WARNING chaos: number 7 reads where nothing is"
    assert "Fatal Python error: Segmentation fault" in lines
    assert any("chaos_app.py" in line and "in deadly" in line for line in lines)
