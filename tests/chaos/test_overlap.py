"""A new worker beside the old one on the same machine, as a deploy or a hasty restart has it: nothing is lost, and nothing runs twice."""

import pytest
from oracle import FULL, KINDS_AND_RABBITMQ, World, until

JOBS = 6_000 if FULL else 1_500
TURNS = 10 if FULL else 3


@pytest.mark.parametrize("world", KINDS_AND_RABBITMQ, indirect=True)
def test_each_worker_is_itself_however_it_is_called(world: World) -> None:
    short = world.app.tasks["short"]
    short.delay_many([(number, 1000) for number in range(JOBS)])
    old = world.run("-c", "2")
    world.wait_for_runs(0)
    for _ in range(TURNS):
        before = {note.pid for note in world.notes()}
        new = world.run("-c", "2")
        # Both work for a while; then the old one is asked to leave, in the middle of it.
        until(lambda before=before: {note.pid for note in world.notes()} > before or world.live() == 0, 20, "both work")
        until(new.children, 20, "the new one has come up")
        assert old.stop() == 0
        old = new
    until(lambda: len(world.runs()) == JOBS and world.live() == 0, 60, "every job has run")
    assert old.stop() == 0
    runs = world.runs()
    assert {number: len(notes) for number, notes in runs.items()} == dict.fromkeys(range(JOBS), 1)
    assert {note.attempt for note in world.notes()} == {1}
    assert world.counts().dead == 0
