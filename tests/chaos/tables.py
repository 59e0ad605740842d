"""Tables of orders that a load writes into: nothing in them hides an order that came twice, and one rule can be broken."""

import itertools
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import psycopg
import pymongo
from harmed import HarmedMongo, HarmedPostgres

_names = itertools.count(1)
_COLUMNS = "order_id bigint not null, symbol text not null, quantity bigint not null check (quantity > 0), tags text"


class Table(Protocol):
    """A table, as the oracle sees it."""

    url: str
    name: str
    #: What the database says of a row that breaks the rule.
    refusal: str

    def orders(self) -> list[int]:
        """The numbers of the orders in it, as they are."""


class SqliteTable:
    refusal = "CHECK constraint failed: quantity > 0"
    name = "orders"

    def __init__(self, folder: Path) -> None:
        self._path = folder / "market.db"
        self.url = f"sqlite:///{self._path}"
        with closing(sqlite3.connect(self._path)) as connection:
            connection.execute(f"create table orders ({_COLUMNS})")

    def orders(self) -> list[int]:
        with closing(sqlite3.connect(self._path)) as connection:
            return [number for (number,) in connection.execute("select order_id from orders")]


class PostgresTable:
    refusal = "violates check constraint"

    def __init__(self, server: HarmedPostgres) -> None:
        self._direct = server.server.url()
        self.url = server.through_proxy(self._direct)
        self.name = f"orders{next(_names)}"
        with psycopg.connect(self._direct, autocommit=True) as connection:
            connection.execute(f"create table {self.name} ({_COLUMNS.replace('tags text', 'tags jsonb')})")

    def orders(self) -> list[int]:
        with psycopg.connect(self._direct) as connection:
            return [number for (number,) in connection.execute(f"select order_id from {self.name}")]


class MongoTable:
    refusal = "Document failed validation"

    def __init__(self, server: HarmedMongo) -> None:
        self._direct = server.server.url()
        self.url = server.through_proxy(self._direct)
        self.name = f"orders{next(_names)}"
        with pymongo.MongoClient[dict[str, Any]](self._direct) as client:
            rule = {"quantity": {"$gt": 0}}
            client.get_default_database().create_collection(self.name, validator=rule)

    def orders(self) -> list[int]:
        with pymongo.MongoClient[dict[str, Any]](self._direct) as client:
            found = client.get_default_database()[self.name].find({}, {"order_id": 1})
            return [document["order_id"] for document in found]


def order_lines(count: int, bad: set[int]) -> Iterator[str]:
    """Orders as JSON Lines; those in `bad` break the rule."""
    for number in range(count):
        quantity = -1 if number in bad else 1 + number % 500
        yield json.dumps({"order_id": number, "symbol": f"S{number % 50}", "quantity": quantity, "tags": {"n": number}})
