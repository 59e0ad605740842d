"""Sinks whose workers and connections are killed at random: the row of every job is in the table exactly once."""

import random
import signal
import threading
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from harmed import FIXTURES, HarmedMongo, HarmedPostgres, HarmedRedis
from oracle import FULL, SEED, Worker, send, until
from tables import MongoTable, PostgresTable, SqliteTable, Table, order_lines

from penstock import Penstock
from penstock.brokers.inspect import of_users
from penstock.errors import StoreUnavailable

ORDERS = 200_000 if FULL else 20_000
EVENTS = 40 if FULL else 8
#: Kinds of queue and of table; rows and endings are one transaction where both are in one PostgreSQL or MongoDB.
PAIRS = [("sqlite", "postgresql"), ("postgresql", "postgresql"), ("postgresql", "mongodb"), ("mongodb", "mongodb")]
PAIRS += (
    [
        ("redis", "postgresql"),
        ("sqlite", "sqlite"),
        ("mongodb", "postgresql"),
        ("redis", "mongodb"),
        ("redis", "sqlite"),
    ]
    if FULL
    else []
)

Server = HarmedPostgres | HarmedMongo | HarmedRedis


class Fire:
    """A worker under fire."""

    def __init__(self, folder: Path, environment: dict[str, str], servers: list[Server], dice: random.Random) -> None:
        self._folder = folder
        self._environment = {**environment, "PYTHONWARNINGS": "ignore::ResourceWarning"}
        self._servers = servers
        self._dice = dice
        self._pause = threading.Event()
        self.harms = Counter[str]()
        self.worker = self._start()

    def _start(self) -> Worker:
        return Worker(["-m", "penstock", "worker", "chaos_batches:app", "-c", "2"], self._folder, self._environment)

    def burn(self) -> None:
        for _ in range(EVENTS):
            self._pause.wait(self._dice.uniform(0.1, 0.7))
            self._harm()

    def keep(self) -> None:
        """Start the worker again if it has ended: one does whose first connection is cut."""
        if self.worker.process.poll() is not None:
            self.worker.close()
            self.worker = self._start()

    def _harm(self) -> None:
        self.keep()
        dice = self._dice
        chance = dice.random() if self._servers else dice.uniform(0, 0.6)
        if chance < 0.45:
            self.harms["process killed"] += 1
            for pid in self.worker.children():
                if dice.random() < 0.7:
                    send(pid, signal.SIGKILL)
        elif chance < 0.6:
            self.harms["worker killed"] += 1
            self.worker.close()
            self.worker = self._start()
        else:
            server = dice.choice(self._servers)
            self.harms[f"{server.scheme} cut"] += 1
            dice.choice([server.proxy.cut, server.proxy.cut_before_answer, lambda: server.proxy.cut_in_answer(50)])()


@pytest.mark.parametrize(("queue", "table"), PAIRS)
def test_the_row_of_every_job_is_in_once(
    queue: str, table: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    dice = random.Random(f"{SEED} {queue} {table}")
    servers: dict[str, Server] = {kind: request.getfixturevalue(FIXTURES[kind]) for kind in {queue, table} - {"sqlite"}}
    url = watched = f"sqlite:///{tmp_path}/queue.db"
    if queue != "sqlite":
        watched = servers[queue].place()
        url = servers[queue].through_proxy(watched)
    into = make_table(table, servers, tmp_path)
    refused = set(dice.sample(range(ORDERS), ORDERS // 200))
    records = [msgspec.json.decode(line) for line in order_lines(ORDERS, refused)]

    app = Penstock(watched)
    task = app.sink(into.url, table=into.name, name="orders")
    half = ORDERS // 2
    task.delay_many((record,) for record in records[:half])
    task.map(records[half:])
    fire = Fire(
        tmp_path, {"CHAOS_URL": url, "CHAOS_TABLE_URL": into.url, "CHAOS_TABLE": into.name}, [*servers.values()], dice
    )
    try:
        fire.burn()
        until(lambda: left(app, fire) == 0, 300, "all have ended")
    finally:
        fire.worker.close()
        app.close()
        print(f"{queue} -> {table}: {dict(fire.harms)}", *fire.worker.said()[-20:], sep="\n")

    numbers = Counter(into.orders())
    assert [number for number, count in numbers.items() if count > 1] == [], f"PENSTOCK_CHAOS_SEED={SEED}"
    assert set(numbers) == set(range(ORDERS)) - refused, f"PENSTOCK_CHAOS_SEED={SEED}"
    app = Penstock(watched)
    with app.inspector() as inspector:
        assert sum(each.dead for each in inspector.count()) == len(refused)
    app.close()


def left(app: Penstock, fire: Fire) -> int:
    """How many jobs are yet to end."""
    fire.keep()
    try:
        with app.inspector() as inspector:
            return sum(each.ready + each.running + each.delayed for each in of_users(inspector.count()))
    except StoreUnavailable:
        return 1


def make_table(kind: str, servers: dict[str, Server], folder: Path) -> Table:
    server = servers.get(kind)
    if isinstance(server, HarmedPostgres):
        return PostgresTable(server)
    return MongoTable(server) if isinstance(server, HarmedMongo) else SqliteTable(folder)
