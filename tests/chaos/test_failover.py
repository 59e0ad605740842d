"""kill -9 of the primary of a MongoDB replica set of three: another takes over, and nothing is lost or repeated."""

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from account import check_runs
from chaos_app import make
from oracle import FULL, SEED, World

from penstock.testing.servers import MongoServer

JOBS = 12_000 if FULL else 1_500
FAILOVERS = 10 if FULL else 1


@pytest.fixture(scope="module")
def three() -> Iterator[MongoServer]:
    with MongoServer(members=3) as server:
        yield server


@pytest.fixture
def world(three: MongoServer, tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, make(f"{three.url()}&namespace=failover", str(tmp_path / "log")))
    yield world
    world.close()


def test_of_the_primary_loses_and_repeats_nothing(three: MongoServer, world: World) -> None:
    dice = random.Random(SEED)
    world.app.tasks["short"].delay_many([(number, dice.choice([500, 1000, 2000])) for number in range(JOBS)])
    workers = [world.run("-c", "2") for _ in range(2)]
    pause = threading.Event()
    for _ in range(FAILOVERS):
        world.wait_for_runs(len(world.notes()))
        pause.wait(dice.uniform(0.1, 0.5))
        three.primary().kill()
        three.primary()
        before = len(world.notes())
        world.wait_for_runs(before)
        three.start()
    world.wait_until_done(120)
    check_runs(world, JOBS, {})
    assert {note.attempt for note in world.notes()} == {1}
    for worker in workers:
        assert worker.stop() == 0
        assert not any("Traceback" in line for line in worker.said())
