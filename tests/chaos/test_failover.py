"""kill -9 of a primary: another server takes over, and workers go on.

Of a MongoDB replica set nothing is lost or repeated. A Redis replica may lack the last moment: what ended in it runs again.
"""

import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from account import check_runs
from chaos_app import make
from oracle import FULL, SEED, World, until
from redis_servers import Cluster
from sentinels import Watched

from penstock.testing.servers import MongoServer

JOBS = 12_000 if FULL else 1_500
FAILOVERS = 10 if FULL else 1
#: What four processes may hold, or have ended, in the moment that a replica lacks.
AGAIN = 200


@pytest.fixture(scope="module")
def three() -> Iterator[MongoServer]:
    with MongoServer(members=3) as server:
        yield server


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    with ExitStack() as stack:
        yield Watched(stack)


@pytest.fixture
def watched_world(watched: Watched, tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, make(watched.url, str(tmp_path / "log")))
    yield world
    world.close()


@pytest.fixture
def world(three: MongoServer, tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, make(f"{three.url()}&namespace=failover", str(tmp_path / "log")))
    yield world
    world.close()


def test_of_the_primary_loses_and_repeats_nothing(three: MongoServer, world: World) -> None:
    dice = random.Random(SEED)
    workers = world.run_all(2, "-c", "2")
    world.app.tasks["short"].delay_many([(number, dice.choice([500, 1000, 2000])) for number in range(JOBS)])
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


def test_of_a_redis_master_loses_nothing_that_its_replica_had(watched: Watched, watched_world: World) -> None:
    world, dice = watched_world, random.Random(SEED)
    workers = world.run_all(2, "-c", "2")
    world.app.tasks["short"].delay_many([(number, dice.choice([500, 1000, 2000])) for number in range(JOBS)])
    pause = threading.Event()
    for number in range(FAILOVERS):
        world.wait_for_runs(len(world.notes()))
        pause.wait(dice.uniform(0.1, 0.5))
        dead = watched.kill_master()
        before = len(world.notes())
        world.wait_for_runs(before)
        if number < FAILOVERS - 1:
            # It comes back as a replica, which the sentinels see to within 10 s.
            dead.start()
            until(watched.is_whole, 60, "there is a replica again")
    world.wait_until_done(120)
    runs = world.runs()
    repeated = sum(len(notes) - 1 for notes in runs.values())
    print(f"{repeated} of {JOBS} ran again after {FAILOVERS} fail-overs")
    assert set(runs) == set(range(JOBS)), f"PENSTOCK_CHAOS_SEED={SEED}"
    assert repeated <= AGAIN * FAILOVERS, f"PENSTOCK_CHAOS_SEED={SEED}"
    assert {note.attempt for note in world.notes()} == {1}
    for worker in workers:
        assert worker.stop() == 0
        assert not any("Traceback" in line for line in worker.said())


def test_of_a_redis_cluster_that_moves_its_keys_workers_wait_and_repeat_nothing(tmp_path: Path) -> None:
    with ExitStack() as stack:
        cluster = Cluster(stack)
        world = World(tmp_path, make(cluster.url, str(tmp_path / "log")))
        stack.callback(world.close)
        world.app.tasks["short"].delay_many([(number, 1000) for number in range(JOBS)])
        worker = world.run("-c", "2")
        world.wait_for_runs(JOBS // 10)
        cluster.begin_to_move()
        cluster.move_keys(3)
        until(lambda: any("is moving" in line for line in worker.said()), 20, "the worker waits")
        while cluster.move_keys():
            pass
        cluster.end_move()
        world.wait_until_done(60)
        check_runs(world, JOBS, {})
        assert worker.stop() == 0
        assert not any("Traceback" in line for line in worker.said())
