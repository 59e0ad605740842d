"""A PgBouncer between workers and PostgreSQL, which hands a connection to the next client after each transaction or session."""

import itertools
import json
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from account import check_runs
from chaos_app import make
from oracle import FULL, SEED, Worker, World, send, until
from pooler import Pooler

from penstock.testing.servers import PostgresServer

JOBS, ORDERS = (2_000, 20_000) if FULL else (300, 4_000)
#: Where a connection to the server is handed on after each transaction, nothing may be left behind in it for the next one.
HARDER = ["session", "transaction"] if FULL else ["transaction"]
EASIER = ["session", "transaction"] if FULL else ["session"]
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def pooler(request: pytest.FixtureRequest, postgres_server: PostgresServer) -> Iterator[Pooler]:
    with Pooler(postgres_server, request.param) as pooler:
        yield pooler


@pytest.fixture
def world(pooler: Pooler, postgres_server: PostgresServer, tmp_path: Path) -> Iterator[World]:
    """Everybody goes through the pooler."""
    url = pooler.through(f"{postgres_server.url()}?schema=pooled{next(_numbers)}")
    world = World(tmp_path, make(url, str(tmp_path / "log")))
    yield world
    world.close()


@pytest.mark.parametrize("pooler", HARDER, indirect=True)
def test_loses_and_repeats_nothing(world: World) -> None:
    dice = random.Random(SEED)
    short, item = world.app.tasks["short"], world.app.tasks["item"]
    short.delay_many([(number, dice.choice([200, 1000])) for number in range(JOBS)])
    batch = item.map(range(JOBS, 2 * JOBS))
    workers = [world.run("-c", "2") for _ in range(2)]
    until(lambda: len(world.notes()) > JOBS // 4, 30, "jobs run")
    ran = {note.pid for note in world.notes()}
    died = {pid: time.monotonic() for pid in workers[0].children()[:1] if pid in ran}
    for pid in died:
        send(pid, signal.SIGKILL)
    world.wait_until_done(60)
    check_runs(world, 2 * JOBS, died)
    assert batch.counts().done == JOBS
    for worker in workers:
        assert worker.stop() == 0


@pytest.mark.parametrize("pooler", EASIER, indirect=True)
def test_an_idle_worker_takes_new_work_and_says_twice_at_most_that_it_does_not_hear_of_it(
    world: World, pooler: Pooler
) -> None:
    worker = world.run("-c", "1")
    world.app.tasks["short"].delay(0)
    until(lambda: len(world.notes()) == 1, 20, "the worker is up")
    if not hears(pooler):
        until(lambda: any("past that" in line for line in worker.said()), 25, "it says what to do")
        # It has had the time for a third line.
        threading.Event().wait(6)
    sent_at = time.monotonic()
    world.app.tasks["short"].delay(1)
    until(lambda: len(world.notes()) == 2, 20, "the job runs")
    assert world.notes()[1].at - sent_at < (0.5 if hears(pooler) else 3)
    assert worker.stop() == 0
    errors = [line for line in worker.said() if " ERROR " in line or " WARNING " in line]
    assert len(errors) == (0 if hears(pooler) else 2), errors


def hears(pooler: Pooler) -> bool:
    return "pool_mode = session" in (pooler.process.folder / "pgbouncer.ini").read_text("ascii")


@pytest.mark.parametrize("pooler", HARDER, indirect=True)
def test_a_load_with_conflicts_writes_each_record_once(
    pooler: Pooler, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    place = pooler.through(postgres_server.url())
    schema = f"pooled{next(_numbers)}"
    with (tmp_path / "orders.jsonl").open("w", encoding="ascii") as orders:
        for number in range(ORDERS):
            orders.write(json.dumps({"order_id": number % (ORDERS * 3 // 4), "note": "x" * (number % 50)}) + "\n")
    words = ["-m", "penstock", "load", str(tmp_path / "orders.jsonl"), "--create", "--quiet", "--key", "order_id"]
    words += ["--into", place, "--table", schema, "--on-conflict", "ignore", "--queue", f"{place}?schema={schema}"]
    load = Worker(words, tmp_path)
    assert load.process.wait(90) == 0, load.said()
    with psycopg.connect(postgres_server.url()) as connection:
        assert connection.execute(f"select count(*) from {schema}").fetchone() == (ORDERS * 3 // 4,)
    connection.close()
