"""A slow job holds up neither the endings before it nor what was claimed behind it."""

import pytest
from oracle import World, until

BEFORE, BEHIND = 300, 100


@pytest.mark.parametrize(("pool", "slots"), [("prefork", 1), ("threads", 2)])
def test_what_ended_is_handed_in_and_what_waits_goes_back(world: World, pool: str, slots: int) -> None:
    gate = world.folder / "gate"
    short, held = world.app.tasks["short"], world.app.tasks["held"]
    short.delay_many([(number,) for number in range(BEFORE)])
    held.delay_many([(BEFORE + number, str(gate)) for number in range(slots)])
    short.delay_many([(number,) for number in range(BEFORE + slots, BEFORE + slots + BEHIND)])
    world.start(pool=pool, slots=slots, processes=1)
    until(lambda: len(world.notes("start")) == slots, 20, "the slow jobs run")

    def only_the_slow_run() -> bool:
        counts = world.counts()
        return (counts.running, counts.ready) == (slots, BEHIND)

    until(only_the_slow_run, 5, "the rest is handed in or given back")
    helper = world.start(pool=pool, slots=slots, processes=1)
    until(lambda: world.live() == slots, 20, "another worker runs the rest")
    gate.touch()
    world.wait_until_done(10)
    assert helper.stop() == 0
    runs = world.runs()
    assert {number: len(notes) for number, notes in runs.items()} == dict.fromkeys(range(BEFORE + slots + BEHIND), 1)
    assert {note.attempt for note in world.notes()} == {1}
