"""Movers that are killed at random, two at once, and servers that restart, while workers run on both sides and a producer fills the new one."""

import itertools
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from chaos_app import make
from harmed import Harmed
from oracle import FULL, SEED, Worker, World, until

from penstock.brokers import connect

JOBS = 5_000 if FULL else 1_000
KILLS = 10 if FULL else 2
STORES = ["sqlite", "postgresql", "mongodb", "redis", "rabbitmq"]
PAIRS = list(itertools.permutations(STORES, 2))
IN_SHORT = [("sqlite", "postgresql"), ("redis", "mongodb")]


class Move:
    """Two worlds with one oracle, and the movers between them."""

    def __init__(self, source: World, destination: World) -> None:
        self.source = source
        self.destination = destination
        self.dice = random.Random(SEED)
        self._over = threading.Event()
        self._made = itertools.count(JOBS)
        self._producer = threading.Thread(target=self._produce)

    def begin(self) -> None:
        """Fill the source, and start a worker on either side and the producer."""
        short = self.source.app.tasks["short"]
        for start in range(0, JOBS, 500):
            short.delay_many([(number, 500) for number in range(start, start + 500)])
        for number in range(0, JOBS, 50):
            short.options(delay=self.dice.uniform(0.1, 3.0), priority=9).delay(-number - 1)
        self.source.start(processes=1)
        self.destination.start(processes=1)
        self._producer.start()

    def _produce(self) -> None:
        while not self._over.wait(0.02):
            self.destination.app.tasks["short"].delay_many([(next(self._made), 0) for _ in range(5)])

    def mover(self) -> Worker:
        words = ["chaos_mover.py", self.source.app.settings.url, self.destination.app.settings.url]
        worker = Worker(words, self.source.folder)
        self.source.workers.append(worker)
        return worker

    def end(self, *movers: Worker) -> None:
        """The movers end by themselves, the workers do the rest, and every job has run once."""
        for mover in movers:
            assert mover.process.wait(120) == 0, mover.said()[-5:]
        self._over.set()
        self._producer.join()
        sent = {*range(next(self._made)), *(-number - 1 for number in range(0, JOBS, 50))}
        self.wait_until_done(len(sent))
        assert self.source.live() == 0
        runs = self.source.runs()
        assert set(runs) == sent, f"PENSTOCK_CHAOS_SEED={SEED}"
        repeated = {number: notes for number, notes in runs.items() if len(notes) > 1}
        assert repeated == {}, f"PENSTOCK_CHAOS_SEED={SEED}"
        with closing(connect(self.source.app.settings.url)) as broker:
            broker.open()
            assert list(broker.transfer().pending()) == []

    def wait_until_done(self, jobs: int) -> None:
        # On RabbitMQ a job that runs is not counted among those that are left.
        until(lambda: len(self.source.runs()) >= jobs, 120, "every job has run")
        self.destination.wait_until_done(120)

    def close(self) -> None:
        self._over.set()
        self.source.close()
        self.destination.close()


@pytest.fixture
def new_move(tmp_path: Path) -> Iterator[Callable[..., Move]]:
    with ExitStack() as stack:

        def make_one(source: str, destination: str) -> Move:
            worlds = [World(tmp_path, make(url, str(tmp_path / "log"))) for url in (source, destination)]
            move = Move(*worlds)
            stack.callback(move.close)
            return move

        yield make_one


@pytest.mark.parametrize(("one", "other"), PAIRS if FULL else IN_SHORT)
def test_movers_that_are_killed_lose_and_repeat_nothing(
    new_place: Callable[[str], str], new_move: Callable[..., Move], one: str, other: str
) -> None:
    move = new_move(new_place(one), new_place(other))
    move.begin()
    pause = threading.Event()
    for _ in range(KILLS):
        movers = [move.mover() for _ in range(move.dice.choice([1, 1, 2]))]
        until(lambda begun=movers[0]: begun.printed() or begun.process.poll() is not None, 30, "the mover has begun")
        pause.wait(move.dice.uniform(0.0, 0.3))
        for mover in movers:
            mover.kill()
    move.end(move.mover(), move.mover())


@pytest.mark.parametrize(
    "harmed", ["postgresql", "mongodb", "redis", "rabbitmq"] if FULL else ["postgresql"], indirect=True
)
@pytest.mark.parametrize("away", ["source", "destination"])
def test_a_server_that_restarts_is_waited_for(
    tmp_path: Path,
    new_move: Callable[..., Move],
    harmed: Harmed,
    away: str,
) -> None:
    places = [harmed.place(), f"sqlite:///{tmp_path}/jobs.db"]
    move = new_move(*(places if away == "source" else reversed(places)))
    short = move.source.app.tasks["short"]
    short.delay_many([(number, 0) for number in range(JOBS)])
    mover = move.mover()
    until(lambda: mover.printed() or mover.process.poll() is not None, 30, "the mover has begun")
    pause = threading.Event()
    for number in range(2):
        pause.wait(move.dice.uniform(0.0, 0.2))
        if number % 2:
            harmed.stop()
        else:
            harmed.kill()
        harmed.start()
    assert mover.process.wait(120) == 0, mover.said()[-5:]
    move.destination.start(processes=1)
    move.wait_until_done(JOBS)
    runs = move.source.runs()
    assert {number: len(notes) for number, notes in runs.items()} == dict.fromkeys(range(JOBS), 1)
