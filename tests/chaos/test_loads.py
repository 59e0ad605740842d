"""Loads whose processes, connections and servers are killed at random: every order is in the table exactly once."""

import json
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from harmed import FIXTURES, HarmedMongo, HarmedPostgres, HarmedRedis
from oracle import FULL, KINDS, SEED, Worker, send, wait_for_exits
from tables import MongoTable, PostgresTable, SqliteTable, Table, order_lines

from penstock import Penstock

ORDERS = 200_000 if FULL else 100_000
EVENTS = 25 if FULL else 5
#: Runs that give up, for a server was away for too long, and are started again, at most.
RUNS = 40

#: In short, each kind of queue and each kind of table once.
PAIRS = (
    [(queue, table) for queue in [*KINDS, "redis"] for table in KINDS]
    if FULL
    else [*zip(KINDS, KINDS[1:] + KINDS[:1], strict=True)]
)

Server = HarmedPostgres | HarmedMongo | HarmedRedis


class Fire:
    """A load under fire.

    Parameters:
        servers: what may be harmed besides the load's own processes.
    """

    def __init__(self, folder: Path, words: list[str], servers: list[Server], dice: random.Random) -> None:
        self._folder = folder
        self._words = words
        self._servers = servers
        self._dice = dice
        self._pause = threading.Event()
        self.harms = Counter[str]()
        self.said: list[str] = []
        self.load = self._start()

    def _start(self) -> Worker:
        return Worker(
            ["-m", "penstock", "load", *self._words], self._folder, {"PYTHONWARNINGS": "ignore::ResourceWarning"}
        )

    def burn(self) -> None:
        """Harm until enough was harmed, then let the load come to its end."""
        for _ in range(EVENTS):
            self._pause.wait(self._dice.uniform(0.05, 0.6))
            if self._ended():
                return
            self._harm()
        for _ in range(RUNS):
            self.load.process.wait(120)
            if self._ended():
                return
            self._pause.wait(0.2)
        raise AssertionError(f"it does not come to its end: {self.said[-5:]}")

    def _ended(self) -> bool:
        """Has it loaded everything? One that gave up, for a server was away, is started again."""
        status = self.load.process.poll()
        if status is None:
            return False
        said = self.load.said()
        self.said += said
        assert not any("Traceback" in line for line in said), "\n".join(said)
        if status == 0 or '"complete":true' in self.load.printed():
            return True
        assert said, f"it ended with {status} and no word"
        self.load = self._start()
        return False

    def _harm(self) -> None:
        dice = self._dice
        chance = dice.random() if self._servers else dice.uniform(0, 0.5)
        if chance < 0.3:
            self.harms["process killed"] += 1
            for pid in self.load.children():
                if dice.random() < 0.5:
                    send(pid, signal.SIGKILL)
        elif chance < 0.5:
            self.harms["load killed"] += 1
            processes = self.load.children()
            self.load.kill()
            assert wait_for_exits(processes, 5.0) == []
            self.said += self.load.said()
            # One that has told of its end may have forgotten the load, and would begin it anew.
            if '"complete":true' not in self.load.printed():
                self.load = self._start()
        elif chance < 0.8:
            server = dice.choice(self._servers)
            self.harms[f"{server.scheme} cut"] += 1
            way: Callable[[], None] = dice.choice(
                [
                    server.proxy.cut,
                    server.proxy.cut_before_answer,
                    lambda: server.proxy.cut_in_answer(dice.choice([1, 50, 500])),
                    lambda: server.end_connections(dice),
                ]
            )
            way()
        else:
            server = dice.choice(self._servers)
            self.harms[f"{server.scheme} restarted"] += 1
            dice.choice([server.kill, server.stop])()
            self._pause.wait(dice.uniform(0.0, 1.0))
            server.start()

    def close(self) -> None:
        self.load.close()


@pytest.mark.parametrize("bad", [0.0, 0.01] if FULL else [0.01], ids=lambda bad: f"{bad:.0%} bad")
@pytest.mark.parametrize(("queue", "table"), PAIRS)
def test_every_order_is_in_once(
    queue: str, table: str, bad: float, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    dice = random.Random(f"{SEED} {queue} {table} {bad}")
    servers: dict[str, Server] = {kind: request.getfixturevalue(FIXTURES[kind]) for kind in {queue, table} - {"sqlite"}}
    queue_url = f"sqlite:///{tmp_path}/queue.db"
    watched_url = queue_url
    if queue != "sqlite":
        watched_url = servers[queue].place()
        queue_url = servers[queue].through_proxy(watched_url)
    into = make_table(table, servers, tmp_path)
    refused = set(dice.sample(range(ORDERS), int(ORDERS * bad)))
    file = tmp_path / "orders.jsonl"
    file.write_text("".join(f"{line}\n" for line in order_lines(ORDERS, refused)), "utf-8")

    words = [str(file), "--into", into.url, "--table", into.name, "--queue", queue_url, "--json"]
    fire = Fire(tmp_path, words, list(servers.values()), dice)
    try:
        fire.burn()
    finally:
        fire.close()
    print(f"{queue} -> {table}: {dict(fire.harms)}")
    assert fire.harms.total() >= 3

    numbers = Counter(into.orders())
    assert [number for number, count in numbers.items() if count > 1] == [], f"PENSTOCK_CHAOS_SEED={SEED}"
    assert set(numbers) == set(range(ORDERS)) - refused, f"PENSTOCK_CHAOS_SEED={SEED}"
    check_rejects(file, refused, into)
    app = Penstock(watched_url)
    with app.inspector() as inspector:
        assert list(inspector.count()) == []
    app.close()


def make_table(kind: str, servers: dict[str, Server], folder: Path) -> Table:
    server = servers.get(kind)
    if isinstance(server, HarmedPostgres):
        return PostgresTable(server)
    if isinstance(server, HarmedMongo):
        return MongoTable(server)
    return SqliteTable(folder)


def check_rejects(file: Path, refused: set[int], into: Table) -> None:
    rejects = file.with_name(f"{file.name}.rejects.jsonl")
    if not refused:
        assert not rejects.exists()
        return
    found = [json.loads(line) for line in rejects.read_text("utf-8").splitlines()]
    assert {each["record"]["order_id"]: into.refusal in each["reason"] for each in found} == dict.fromkeys(
        refused, True
    )
    assert len(found) == len(refused)
