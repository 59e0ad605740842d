"""RabbitMQ that dies and comes back: nothing that was confirmed is lost, and only what was under way runs again.

With the long form only: a node takes seconds to start, and three of them a minute.
"""

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from chaos_app import make
from harmed import HarmedRabbit, start_again
from oracle import FULL, SEED, Worker, World, until

from penstock.errors import StoreUnavailable
from penstock.testing.servers import RabbitServer

pytestmark = pytest.mark.skipif(not FULL, reason="PENSTOCK_CHAOS=full runs it")

KILLS = 8
#: What four processes may have taken, or ended without an answer, when their connections break.
AGAIN = 2000


class Producer:
    """Sends jobs, twenty at a time, whatever happens; remembers those that were confirmed."""

    def __init__(self, world: World) -> None:
        self.confirmed: list[int] = []
        self.refused = 0
        self._world = world
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def _send(self) -> None:
        dice, number = random.Random(SEED), 0
        app = make(self._world.app.settings.url, str(self._world.log))
        short = app.tasks["short"]
        while not self._ended.wait(0.01):
            numbers = range(number, number + 20)
            number += 20
            try:
                short.delay_many([(each, dice.choice([200, 1000, 2000])) for each in numbers])
            except StoreUnavailable:
                self.refused += 1
            else:
                self.confirmed += numbers
        app.close()

    def end(self) -> None:
        """Send no more."""
        self._ended.set()
        self._thread.join()


@pytest.fixture(scope="module")
def cluster() -> Iterator[list[RabbitServer]]:
    with ExitStack() as stack:
        first = stack.enter_context(RabbitServer())
        yield [first, *(stack.enter_context(RabbitServer(joins=first)) for _ in range(2))]


def url_of(nodes: list[RabbitServer], folder: Path) -> str:
    hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
    return f"amqp://guest:guest@{hosts}/?namespace=chaos&backend=sqlite:///{folder}/backend.db"


def harm(world: World, workers: list[Worker], kill: Callable[[random.Random], Callable[[], object]]) -> None:
    """Kill again and again under workers and a producer; `kill` returns what starts again.

    Workers go on by themselves, nothing that was confirmed is lost, and what runs again was under way.
    """
    dice, producer = random.Random(SEED), Producer(world)
    for _ in range(KILLS):
        world.wait_for_runs(len(world.notes()))
        threading.Event().wait(dice.uniform(0.1, 1.0))
        start = kill(dice)
        start()
        before, sent = len(world.notes()), len(producer.confirmed)
        until(lambda before=before: len(world.notes()) > before, 90, "workers go on")
        until(lambda sent=sent: len(producer.confirmed) > sent, 90, "the producer goes on")
    producer.end()
    confirmed = set(producer.confirmed)
    until(lambda: confirmed <= set(world.runs()), 90, f"all that was confirmed has run (PENSTOCK_CHAOS_SEED={SEED})")
    repeated = sum(len(notes) - 1 for notes in world.runs().values())
    print(f"{len(confirmed)} confirmed, {producer.refused} calls refused, {repeated} ran again after {KILLS} kills")
    assert repeated <= AGAIN * KILLS
    assert {note.attempt for note in world.notes()} == {1}
    for worker in workers:
        assert worker.stop() == 0
        said = "\n".join(worker.said())
        assert "Traceback" not in said, said[said.index("Traceback") :][:3000]


def test_a_cluster_that_loses_its_leader_again_and_again_loses_nothing(
    cluster: list[RabbitServer], tmp_path: Path
) -> None:
    world = World(tmp_path, make(url_of(cluster, tmp_path), str(tmp_path / "log")))
    try:
        victims = [*cluster]

        def kill(dice: random.Random) -> Callable[[], object]:
            # The leader of a new queue is where its first user was connected to; later it is any of them.
            victim = victims.pop(0) if victims else dice.choice(cluster)
            victim.kill()
            before = len(world.notes())
            until(lambda: len(world.notes()) > before, 90, "workers go on with two of three nodes")
            return lambda: start_again(victim)

        harm(world, [world.run("-c", "2") for _ in range(2)], kill)
    finally:
        world.close()


def test_a_lone_node_that_is_killed_or_stopped_in_the_middle_of_a_drain_loses_nothing(
    harmed_rabbit: HarmedRabbit, tmp_path: Path
) -> None:
    url = harmed_rabbit.place()
    world = World(tmp_path, make(url, str(tmp_path / "log")), harmed_rabbit.through_proxy(url))
    try:

        def kill(dice: random.Random) -> Callable[[], object]:
            dice.choice([harmed_rabbit.kill, harmed_rabbit.stop])()
            threading.Event().wait(dice.uniform(0.0, 1.5))
            return harmed_rabbit.start

        harm(world, [world.run("-c", "2") for _ in range(2)], kill)
    finally:
        world.close()
