"""What a load is measured against: a table in each kind of store, and the bare loop of one program that fills it."""

from __future__ import annotations

import itertools
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

import msgspec

from benchmarks.places import cleared
from penstock.testing.servers import MongoServer, PostgresServer

_BATCH = 1000
_INSERT = "insert into orders values (?, ?, ?, ?, ?, ?, ?, ?)"
_TABLE = """
create table orders (
  order_id bigint primary key, symbol text not null, side text not null, quantity bigint not null,
  price double precision not null, account text not null, placed_at text not null, tags text
)
"""
_TYPES = ["int8", "text", "text", "int8", "float8", "text", "text", "text"]


class Target(Protocol):
    """A place for orders."""

    name: str
    #: The bare loop, in words.
    loop: str
    #: Of the bare loop's rate, at least.
    goal: float

    def empty(self) -> str:
        """Make the table anew; returns the URL to load into."""

    def fill(self, source: Path) -> None:
        """The bare loop: parse a file of JSON Lines, and store its orders."""

    def count(self) -> int:
        """How many orders are in."""


class SqliteTarget:
    """A file, `executemany` of 1,000 a transaction."""

    name, loop, goal = "SQLite", "a loop that parses and executemanys", 0.6

    def __init__(self, place: Path) -> None:
        self._path = place / "market.db"

    def empty(self) -> str:
        """See `Target`."""
        with closing(sqlite3.connect(cleared(self._path))) as connection:
            connection.execute(_TABLE.replace("bigint primary key", "integer primary key"))
        return f"sqlite:///{self._path}"

    def fill(self, source: Path) -> None:
        """See `Target`."""
        encode = msgspec.json.encode
        with closing(sqlite3.connect(self._path, isolation_level=None)) as connection:
            connection.execute("pragma journal_mode = wal")
            connection.execute("pragma synchronous = full")
            for batch in _batches(source):
                for order in batch:
                    order["tags"] = encode(order["tags"]).decode()
                connection.execute("begin immediate")
                connection.executemany(_INSERT, [tuple(order.values()) for order in batch])
                connection.execute("commit")

    def count(self) -> int:
        """See `Target`."""
        with closing(sqlite3.connect(self._path)) as connection:
            return int(connection.execute("select count(*) from orders").fetchone()[0])


class PostgresTarget:
    """A server, binary COPY of 1,000 a transaction."""

    name, loop, goal = "PostgreSQL", "a loop that parses and COPYs", 0.7

    def __init__(self, server: PostgresServer) -> None:
        self._url = server.url()

    def empty(self) -> str:
        """See `Target`."""
        import psycopg

        with psycopg.connect(self._url) as connection:
            connection.execute("drop table if exists orders")
            connection.execute(_TABLE)
        return self._url

    def fill(self, source: Path) -> None:
        """See `Target`."""
        import psycopg

        encode = msgspec.json.encode
        with psycopg.connect(self._url) as connection, connection.cursor() as cursor:
            for batch in _batches(source):
                with cursor.copy("copy orders from stdin (format binary)") as copy:
                    copy.set_types(_TYPES)
                    for order in batch:
                        order["tags"] = encode(order["tags"]).decode()
                        copy.write_row(tuple(order.values()))
                connection.commit()

    def count(self) -> int:
        """See `Target`."""
        import psycopg

        with psycopg.connect(self._url) as connection:
            row = connection.execute("select count(*) from orders").fetchone()
            assert row is not None
            return int(row[0])


class MongoTarget:
    """A server, `insert_many` of 1,000."""

    name, loop, goal = "MongoDB", "a loop that parses and insert_manys", 0.7

    def __init__(self, server: MongoServer) -> None:
        self._url = server.url("market")

    def empty(self) -> str:
        """See `Target`."""
        with self._client() as client:
            client.market.orders.drop()
            client.market.create_collection("orders")
        return self._url

    def fill(self, source: Path) -> None:
        """See `Target`."""
        with self._client() as client:
            for batch in _batches(source):
                client.market.orders.insert_many(batch, ordered=False)

    def trickle(self, source: Path, count: int) -> float:
        """A script's way: two threads take the first so many orders from a list, and insert one after the other; returns orders a second."""
        orders = list(itertools.islice(itertools.chain.from_iterable(_batches(source)), count))
        with self._client() as client, ThreadPoolExecutor(2) as threads:
            began = time.perf_counter()
            for _ in threads.map(client.market.orders.insert_one, orders):
                pass
            return count / (time.perf_counter() - began)

    def count(self) -> int:
        """See `Target`."""
        with self._client() as client:
            return int(client.market.orders.count_documents({}))

    def _client(self) -> Any:
        import pymongo

        return pymongo.MongoClient(self._url, w="majority", journal=True)


@contextmanager
def targets(place: Path) -> Iterator[list[Target]]:
    """One of each kind, on servers that commit as they do in production."""
    with PostgresServer(durable=True) as postgres, MongoServer(durable=True, cache=1 << 30) as mongo:
        yield [SqliteTarget(place), PostgresTarget(postgres), MongoTarget(mongo)]


def _batches(source: Path) -> Iterator[list[dict[str, Any]]]:
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    batch: list[dict[str, Any]] = []
    with source.open("rb") as file:
        for line in file:
            batch.append(decode(line))
            if len(batch) == _BATCH:
                yield batch
                batch = []
    if batch:
        yield batch
