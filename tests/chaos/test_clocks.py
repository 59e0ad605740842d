"""Somebody sets the clocks of the machines, by an hour ahead and back, while workers run on them."""

import os
import struct
import threading
from contextlib import closing
from pathlib import Path

import pytest
from oracle import FULL, KINDS_AND_RABBITMQ, World, until

from penstock.brokers import connect

STEPPED = Path(__file__).with_name("stepped")
HOUR = 3600.0
#: Seconds after each step in which workers beat, look who is dead, and see what is due; the latter two each 2 s.
SETTLE = 8.0 if FULL else 2.2
DELAYED = 20


class Clock:
    """The wall clock of a worker that is started with `environment`."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set(0.0)
        path = os.pathsep.join(filter(None, [str(STEPPED), os.environ.get("PYTHONPATH", "")]))
        self.environment = {"CHAOS_CLOCK": str(file), "PYTHONPATH": path}

    def set(self, ahead: float) -> None:
        """Ahead of the right time by so many seconds; in one write of the same bytes that the worker sees."""
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.write(struct.pack("d", ahead))


def delayed(world: World) -> int:
    """How many jobs are delayed, where no other waits: those of RabbitMQ are in no one queue, and are counted with all that could be moved."""
    url = world.app.settings.url
    if not url.startswith("amqp"):
        return world.counts().delayed
    with closing(connect(url)) as broker:
        broker.open()
        return broker.transfer().left(None).movable


@pytest.mark.parametrize("world", KINDS_AND_RABBITMQ, indirect=True)
def test_of_workers_lose_nothing_and_repeat_nothing(world: World) -> None:
    gate, numbers = world.folder / "gate", iter(range(1_000_000))
    short, held = world.app.tasks["short"], world.app.tasks["held"]
    held.delay_many([(next(numbers), str(gate)) for _ in range(2)])
    soon = [next(numbers) for _ in range(DELAYED)]
    late = [next(numbers) for _ in range(DELAYED)]
    short.options(delay=HOUR / 2).delay_many([(number,) for number in soon])
    short.options(delay=2 * HOUR).delay_many([(number,) for number in late])
    clocks = [Clock(world.folder / f"clock{number}") for number in range(2)]
    workers = [world.run("-c", "2", **clock.environment) for clock in clocks]
    until(lambda: len(world.notes("start")) == 2, 30, "both run a job, for as long as all this lasts")
    pause = threading.Event()
    for ahead in ((HOUR, -HOUR), (-HOUR, HOUR), (0.0, 0.0)) if FULL else ((HOUR, -HOUR), (0.0, 0.0)):
        for clock, seconds in zip(clocks, ahead, strict=True):
            clock.set(seconds)
        short.delay_many([(next(numbers),) for _ in range(100)])
        pause.wait(SETTLE)
    sent = next(numbers)
    gate.touch()
    due = set(range(sent)) - set(soon) - set(late)
    until(lambda: due <= set(world.runs()) and world.counts().running == 0, 60, "all has run that is due")
    # By the clock that was an hour ahead the first of them were due; by none were the others.
    counts = world.counts()
    assert delayed(world) + sum(number in world.runs() for number in soon) == 2 * DELAYED
    assert not set(late) & set(world.runs())
    assert {number: len(notes) for number, notes in world.runs().items() if len(notes) > 1} == {}
    assert len(world.notes("start")) == 2
    assert {note.attempt for note in world.notes()} == {1}
    assert counts.dead == 0
    assert [worker.stop() for worker in workers] == [0, 0]
