"""Code that lets nothing else run for longer than a silent worker is waited for: an event loop that is blocked, a GIL that is held.

The supervisor says that the worker lives, and no code of the user's can stop it: what runs is not given to another, and what waits is.
"""

import pytest
from oracle import FULL, KINDS_IN_FULL, World, until

#: Seconds of silence after which a worker is dead here, and seconds for which nothing else runs.
DEAD_AFTER, FROZEN = (6.0, 15.0) if FULL else (3.5, 4.5)
BEFORE, BEHIND = 20, 40
#: A process of each kind of pool, and the task that stops everything in it.
POOLS = [("prefork", 1, "clutched"), ("threads", 4, "clutched"), ("gevent", 4, "spinning"), ("asyncio", 4, "blocking")]


@pytest.mark.parametrize("world", KINDS_IN_FULL, indirect=True)
def test_keeps_its_job_and_no_other(world: World) -> None:
    short = world.app.tasks["short"]
    workers, frozen, first = [], [], 0
    for pool, slots, task in POOLS:
        numbers = range(first, first + BEFORE + 1 + BEHIND)
        before, behind = numbers[:BEFORE], numbers[BEFORE + 1 :]
        to_queue = short.options(queue=pool)
        to_queue.delay_many([(number,) for number in before])
        world.app.tasks[task].options(queue=pool).delay(numbers[BEFORE], FROZEN)
        to_queue.delay_many([(number,) for number in behind])
        frozen.append(numbers[BEFORE])
        first = numbers.stop
        workers.append(world.start(pool=pool, slots=slots, processes=1, queues=[pool], dead_after=DEAD_AFTER))
    until(lambda: len(world.notes("start")) == len(POOLS), 30, "each of them runs the job that stops it")
    workers.append(world.start(processes=1, queues=[pool for pool, _, _ in POOLS], dead_after=DEAD_AFTER))
    until(lambda: len(world.runs()) == first, FROZEN + 30, "all has run")
    until(lambda: all(worker.stop() == 0 for worker in workers), 30, "they have left")
    runs = world.runs()
    assert {number: len(notes) for number, notes in runs.items()} == dict.fromkeys(range(first), 1)
    assert sorted(note.number for note in world.notes("start")) == frozen
    assert {note.attempt for note in world.notes()} == {1}
    assert world.notes("died") == []
    # What was at hand in a process whose GIL is held waits for it, and no more than that does.
    ended = max(runs[number][0].at for number in frozen)
    assert max(note.at for note in world.notes()) < ended + 2.0
