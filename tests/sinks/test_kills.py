"""Exactly once, whatever dies: the program that writes, the connection, or the server."""

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from places import MongoPlace, Place, PostgresPlace
from writing import ROWS, batch, write, write_jobs

from penstock.errors import StoreError
from penstock.sinks.base import OnConflict
from penstock.testing.servers import MongoServer, PostgresServer

BATCHES = 40


def check(place: Place, written: list[int], batches: int) -> None:
    """Every row but the last of each batch is there, once, and reported so."""
    assert written == [ROWS - 1] * batches
    found = [each[0] for each in place.orders()]
    assert found == [n for n in range(batches * ROWS) if n % ROWS != ROWS - 1]


@pytest.mark.parametrize("how", ["error", "update"])
def test_a_program_that_is_killed_repeats_nothing(place: Place, how: str) -> None:
    """SIGKILL at random moments. The next one writes the batch that was under way, and all before it, once more."""
    begun = write_until_killed(place, how, BATCHES)
    check(place, write(place.url, place.key, how, range(begun)), begun)


def test_jobs_of_a_program_that_is_killed_are_repeated_by_none(place: Place) -> None:
    """The same with single jobs, of which every program makes other bundles. What is added twice shows."""
    how = "add" if place.adds else "error"
    begun = write_until_killed(place, how, 20, "jobs")
    # The last bundle may have had rows of two batches more.
    count = begun + 2
    rest = write_jobs(place.url, place.key, how, range(begun - 2, count))
    assert sum(each.rows + each.known for each in rest) == 4 * (ROWS - 1)
    check(place, [ROWS - 1] * count, count)
    assert [each[1] for each in place.orders()] == [n for _ in range(count) for n in range(ROWS - 1)]


def write_until_killed(place: Place, how: str, batches: int, *what: str) -> int:
    """Start programs that write batches, and kill each, until so many are begun; returns how many were."""
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    chance = random.Random(seed)
    script = Path(__file__).with_name("writing.py")
    begun = 0
    while begun < batches:
        arguments = [place.url, ",".join(place.key), how, str(max(0, begun - 2)), "1000", *what]
        command = [sys.executable, str(script), *arguments]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            for _ in range(chance.randrange(4, 15)):
                begun = int(child.stdout.readline()) + 1
            threading.Event().wait(chance.random() * 0.02)
            os.kill(child.pid, signal.SIGKILL)
            for line in child.stdout:
                begun = int(line) + 1
    return begun


@pytest.fixture(params=["postgresql", "mongodb", "mongodb alone"])
def own(request: pytest.FixtureRequest) -> Iterator[tuple[Place, PostgresServer | MongoServer]]:
    """A place on a server of its own, which may be killed."""
    if request.param == "postgresql":
        with PostgresServer() as postgres:
            yield PostgresPlace(postgres), postgres
    else:
        with MongoServer(members=0 if "alone" in request.param else 1) as mongo:
            yield MongoPlace(mongo), mongo


def test_a_server_that_is_killed_in_the_middle_loses_and_doubles_nothing(
    own: tuple[Place, PostgresServer | MongoServer],
) -> None:
    """kill -9 of the server while batches go in; the same sinks go on when it is back."""
    place, server = own
    begun = threading.Semaphore(0)
    written: dict[int, int] = {}
    troubles: list[StoreError] = []
    pause = threading.Event()

    def work(numbers: range) -> None:
        with place.sink(OnConflict.ERROR) as sink:
            for number in numbers:
                begun.release()
                while number not in written:
                    try:
                        written[number] = sink.write(b"load%d" % number, batch(number)).rows
                    except StoreError as error:
                        troubles.append(error)
                        pause.wait(0.05)

    count = 120
    threads = [threading.Thread(target=work, args=(range(start, count, 2),)) for start in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        for _ in range(15):
            assert begun.acquire(timeout=60)
        server.kill()
        server.start()
    for thread in threads:
        thread.join(120)
    check(place, [written[number] for number in range(count)], count)
    assert all("Traceback" not in str(error) and "\n" not in str(error) for error in troubles)
