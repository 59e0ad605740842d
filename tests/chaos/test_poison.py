"""A job that kills its process hurts only itself."""

import pytest
from oracle import KINDS_IN_FULL, World

from penstock.errors import JobFailed


@pytest.mark.parametrize("world", KINDS_IN_FULL, indirect=True)
def test_it_is_a_dead_letter_after_three_crashes_and_its_neighbours_finish(world: World) -> None:
    short, deadly = world.app.tasks["short"], world.app.tasks["deadly"]
    short.delay_many([(number,) for number in range(200)])
    poison = [deadly.delay(number, how) for number, how in enumerate(["kill", "exit 1", "exit 0"])]
    short.delay_many([(number,) for number in range(200, 400)])
    worker = world.start(burst=True)
    assert worker.process.wait(60) == 0
    for job in poison:
        with pytest.raises(JobFailed, match="Crashed: the process that ran it died, 3 times"):
            job.result(0)
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
