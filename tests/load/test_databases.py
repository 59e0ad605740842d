"""`penstock load` into PostgreSQL and MongoDB: real servers, real processes, and real kills."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sqlite3
import subprocess
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psycopg
import pymongo
import pytest
from test_session import command, processes_of, run, summary, write_orders

from penstock.testing.servers import MongoServer, PostgresServer

_numbers = itertools.count(1)


class Database(ABC):
    url: str
    #: How a load is told which field is the key.
    key: tuple[str, ...] = ()

    @abstractmethod
    def close(self) -> None:
        """Keep no connection to it."""

    @abstractmethod
    def count(self) -> int:
        """How many orders are there; asked often while a load runs, by a connection that is kept."""

    @abstractmethod
    def ids(self) -> list[int]:
        """The order_id of every order that is there, sorted."""

    @abstractmethod
    def ledger(self) -> int:
        """How many entries the ledger has."""


class Postgres(Database):
    def __init__(self, server: PostgresServer) -> None:
        name = f"load{next(_numbers)}"
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            connection.execute(f"create database {name}".encode())
        self.url = server.url(name)
        self._kept = psycopg.connect(self.url, autocommit=True)

    def close(self) -> None:
        self._kept.close()

    def count(self) -> int:
        with suppress(psycopg.errors.UndefinedTable):
            return int(self._kept.execute("select count(*) from orders").fetchall()[0][0])
        return 0

    def run(self, statement: str) -> list[Any]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def ids(self) -> list[int]:
        with suppress(psycopg.errors.UndefinedTable):
            return [id for (id,) in self.run("select order_id from orders order by 1")]
        return []

    def ledger(self) -> int:
        return int(self.run("select count(*) from penstock_ledger")[0][0])


class Mongo(Database):
    def __init__(self, server: MongoServer) -> None:
        self.name = f"load{next(_numbers)}"
        self.url = server.url(self.name)
        self._kept = pymongo.MongoClient[dict[str, Any]](self.url)

    def close(self) -> None:
        self._kept.close()

    def count(self) -> int:
        return self._kept[self.name]["orders"].estimated_document_count()

    def ids(self) -> list[int]:
        with pymongo.MongoClient[dict[str, Any]](self.url) as client:
            return sorted(each["order_id"] for each in client[self.name]["orders"].find({}, {"order_id": 1}))

    def ledger(self) -> int:
        with pymongo.MongoClient[dict[str, Any]](self.url) as client:
            return client[self.name]["penstock_ledger"].count_documents({})


@pytest.fixture(params=["postgres_server", "mongo_server", "lone_mongo_server"])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    server = request.getfixturevalue(request.param)
    with closing(Postgres(server) if request.param == "postgres_server" else Mongo(server)) as database:
        yield database


def test_loads_and_leaves_nothing_behind(tmp_path: Path, database: Database) -> None:
    write_orders(tmp_path / "orders.jsonl", 5000, broken=(7,))
    told = summary(run(tmp_path, "orders.jsonl", "--into", database.url, "--create", "--json"))
    assert (told["complete"], told["records"], told["rejects"]) == (True, 4999, 1)
    assert database.ids() == [n for n in range(1, 5001) if n != 7]
    assert database.ledger() == 0
    assert [entry.name for entry in tmp_path.iterdir() if "penstock" in entry.name] == []


def test_a_file_that_is_loaded_twice_conflicts_as_told(tmp_path: Path, database: Database) -> None:
    write_orders(tmp_path / "orders.jsonl", 1500)
    into = ("orders.jsonl", "--into", database.url, "--create", "--json", "--key", "order_id")
    assert summary(run(tmp_path, *into))["records"] == 1500
    assert summary(run(tmp_path, *into, "--on-conflict", "ignore"))["records"] == 1500
    assert summary(run(tmp_path, *into, "--on-conflict", "update"))["records"] == 1500
    refused = summary(run(tmp_path, *into))
    assert (refused["records"], refused["rejects"]) == (0, 1500)
    reject = json.loads((tmp_path / "orders.jsonl.rejects.jsonl").read_text().splitlines()[0])
    assert "duplicate key" in reject["reason"]
    assert database.ids() == list(range(1, 1501))


@pytest.mark.parametrize("victim", ["main", "writer"])
def test_killed_in_the_middle_every_record_goes_in_once(tmp_path: Path, database: Database, victim: str) -> None:
    count = 40_000
    write_orders(tmp_path / "orders.jsonl", count, broken=(77,))
    arguments = ("orders.jsonl", "--into", database.url, "--create", "--quiet", "--key", "order_id")
    pause = threading.Event()
    for round in range(3):
        with subprocess.Popen(command(*arguments), cwd=tmp_path) as loading:
            for _ in range(1000):
                if loading.poll() is not None or database.count() >= (round + 1) * 8000:
                    break
                pause.wait(0.01)
            with suppress(ProcessLookupError):
                os.kill(processes_of(loading.pid)[-1] if victim == "writer" else loading.pid, signal.SIGKILL)
            if victim == "writer":
                pause.wait(0.2)
                with suppress(ProcessLookupError):
                    os.kill(loading.pid, signal.SIGINT)
            loading.wait(60)
    if (tmp_path / "orders.jsonl.penstock.db").exists():
        done = run(tmp_path, *arguments)
        assert done.returncode == 0, done.stderr.decode()
    assert database.ids() == [n for n in range(1, count + 1) if n != 77]
    assert database.ledger() == 0


def test_a_server_that_goes_away_is_told_of_once_and_waited_for(tmp_path: Path) -> None:
    with PostgresServer() as server, closing(Postgres(server)) as database:
        write_orders(tmp_path / "orders.jsonl", 60_000)
        with subprocess.Popen(
            command("orders.jsonl", "--into", database.url, "--create"), cwd=tmp_path, stderr=subprocess.PIPE
        ) as loading:
            assert loading.stderr is not None
            for _ in range(1000):
                if database.count():
                    break
                threading.Event().wait(0.01)
            server.kill()
            lines = []
            for line in loading.stderr:
                lines.append(line.decode())
                if "waiting" in lines[-1] and not server.process.running:
                    server.start()
            assert loading.wait(60) == 0
        told = [line for line in lines if "waiting" in line]
        assert len(told) == 1, lines
        assert "postgresql://" in told[0]
        assert len(database.ids()) == 60_000


def test_rows_and_their_jobs_end_together_where_the_queue_is_in_the_same_file(tmp_path: Path) -> None:
    """No ledger is needed then; killed in the middle, every record still goes in once."""
    count = 30_000
    write_orders(tmp_path / "orders.jsonl", count, broken=(9,))
    market = tmp_path / "market.db"
    url = f"sqlite:///{market}"
    arguments = ("orders.jsonl", "--into", url, "--create", "--queue", url, "--key", "order_id", "--quiet")

    def entries(statement: str) -> list[Any]:
        with suppress(sqlite3.Error), closing(sqlite3.connect(market, timeout=5)) as found:
            return found.execute(statement).fetchall()
        return [(0,)]

    with subprocess.Popen(command(*arguments), cwd=tmp_path) as loading:
        while loading.poll() is None and entries("select count(*) from orders")[0][0] < 5000:
            threading.Event().wait(0.01)
        loading.kill()
    assert entries("select count(*) from penstock_ledger") == [(0,)]
    done = run(tmp_path, *arguments)
    assert done.returncode == 0, done.stderr.decode()
    assert entries("select count(*), count(distinct order_id) from orders") == [(count - 1, count - 1)]
    assert entries("select count(*) from penstock_job") == [(0,)]


@pytest.fixture(params=["postgresql", "mongodb"])
def sharing(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database whose server does not keep for a minute what a killed program has left open."""
    if request.param == "postgresql":
        with closing(Postgres(request.getfixturevalue("postgres_server"))) as database:
            yield database
        return
    with MongoServer() as server:
        with pymongo.MongoClient[dict[str, Any]](server.url()) as client:
            client.admin.command("setParameter", 1, transactionLifetimeLimitSeconds=3)
        with closing(Mongo(server)) as database:
            yield database


def test_rows_and_their_jobs_end_together_in_a_database_as_well(tmp_path: Path, sharing: Database) -> None:
    database = sharing
    write_orders(tmp_path / "orders.jsonl", 20_000, broken=(9,))
    arguments = ("orders.jsonl", "--into", database.url, "--create", "--queue", database.url, "--key", "order_id")
    with subprocess.Popen(command(*arguments, "--quiet"), cwd=tmp_path) as loading:
        while loading.poll() is None and database.count() < 4000:
            threading.Event().wait(0.01)
        loading.kill()
    assert database.ledger() == 0
    told = summary(run(tmp_path, *arguments, "--json"))
    assert (told["complete"], told["records"], told["rejects"]) == (True, 19_999, 1)
    assert database.ids() == [n for n in range(1, 20_001) if n != 9]


def test_a_load_goes_on_in_the_manner_it_began_with(tmp_path: Path) -> None:
    write_orders(tmp_path / "orders.jsonl", 60_000)
    into = ("orders.jsonl", "--into", "sqlite:///market.db", "--create", "--key", "order_id")
    with subprocess.Popen(command(*into, "--quiet"), cwd=tmp_path) as loading:
        while loading.poll() is None and not (tmp_path / "orders.jsonl.penstock.db").exists():
            threading.Event().wait(0.01)
        threading.Event().wait(0.2)
        loading.kill()
    refused = run(tmp_path, *into, "--on-conflict", "update")
    assert refused.returncode == 1
    assert b"--on-conflict error --key order_id" in refused.stderr
    assert summary(run(tmp_path, *into, "--json"))["records"] == 60_000
