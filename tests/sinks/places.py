"""Databases to write into, as a test of any sink needs them."""

from __future__ import annotations

import itertools
import sqlite3
from abc import ABC, abstractmethod
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pymongo

from penstock.sinks import open_sink
from penstock.sinks.base import OnConflict, Sink, Target
from penstock.testing.servers import MongoServer, PostgresServer

_numbers = itertools.count(1)
Order = tuple[int, int | None, str | None]

_ORDERS = "create table orders (id integer primary key, n integer check (n >= 0), note text)"


class Place(ABC):
    """A fresh database with `orders`: `id`, which is its key, `n`, which may not be negative, and `note`."""

    url: str
    #: A key that has to be named, where the database does not know it.
    key: tuple[str, ...] = ()
    #: Whether numbers can be added to what is there.
    adds = True
    #: What the messages of the database say.
    duplicate: str
    negative: str

    def sink(self, how: OnConflict = OnConflict.ERROR, *, key: tuple[str, ...] | None = None) -> Sink:
        return open_sink(self.url, Target("orders", how, self.key if key is None else key))

    @abstractmethod
    def orders(self) -> list[Order]:
        """What is there."""

    @abstractmethod
    def ledger(self) -> int:
        """How many batches are noted."""

    @abstractmethod
    def jobs(self) -> int:
        """How many single jobs are noted."""


class SqlitePlace(Place):
    duplicate = "UNIQUE constraint failed: orders.id"
    negative = "CHECK constraint failed: n >= 0"

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"target{next(_numbers)}.db"
        self.url = f"sqlite:///{self.path}"
        self._run(_ORDERS)

    def orders(self) -> list[Order]:
        return self._run("select id, n, note from orders order by id")

    def ledger(self) -> int:
        return int(self._run("select count(*) from penstock_ledger")[0][0])

    def jobs(self) -> int:
        return int(self._run("select count(*) from penstock_ledger_jobs")[0][0])

    def _run(self, statement: str) -> list[Any]:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            return connection.execute(statement).fetchall()


class PostgresPlace(Place):
    duplicate = 'duplicate key value violates unique constraint "orders_pkey": Key (id)=(1) already exists.'
    negative = 'new row for relation "orders" violates check constraint "orders_n_check"'

    def __init__(self, server: PostgresServer) -> None:
        name = f"sink{next(_numbers)}"
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            connection.execute(f"create database {name}".encode())
        self.url = server.url(name)
        self.run(_ORDERS)

    def orders(self) -> list[Order]:
        return self.run("select id, n, note from orders order by id")

    def ledger(self) -> int:
        return int(self.run("select count(*) from penstock_ledger")[0][0])

    def jobs(self) -> int:
        return int(self.run("select count(*) from penstock_ledger_jobs")[0][0])

    def run(self, statement: str) -> list[Any]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


class MongoPlace(Place):
    key = ("id",)
    duplicate = "E11000 duplicate key error"
    negative = "Document failed validation"

    def __init__(self, server: MongoServer) -> None:
        self.database = f"sink{next(_numbers)}"
        self.adds = "replicaSet" in server.url()
        self.url = server.url(self.database)
        with self.client() as client:
            client[self.database].create_collection("orders", validator={"n": {"$not": {"$lt": 0}}})

    def client(self) -> pymongo.MongoClient[dict[str, Any]]:
        return pymongo.MongoClient(self.url)

    def orders(self) -> list[Order]:
        with self.client() as client:
            found = client[self.database]["orders"].find().sort("id")
            return [(each["id"], each.get("n"), each.get("note")) for each in found]

    def ledger(self) -> int:
        with self.client() as client:
            return client[self.database]["penstock_ledger"].count_documents({})

    def jobs(self) -> int:
        with self.client() as client:
            return sum(len(each["ids"]) for each in client[self.database]["penstock_ledger_jobs"].find())
