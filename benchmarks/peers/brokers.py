"""The stores that contests are on: private servers, set up to keep what they take, each with its raw loop."""

from __future__ import annotations

import itertools
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from benchmarks import raw
from benchmarks.places import cleared, filled, url
from benchmarks.stores import MongoStore, PostgresStore, RabbitStore, RedisStore
from penstock.testing.servers import MongoServer, PostgresServer, RabbitServer, RedisServer

#: In the order of the page.
STORES = ("SQLite", "PostgreSQL", "MongoDB", "Redis", "RabbitMQ")


class Broker(Protocol):
    """A running server."""

    name: str
    #: Of its process; None where there is no server.
    pid: int | None
    #: How it is set up, in words, with its version.
    settings: str
    #: What its raw loop does, in words.
    loop: str
    #: How many jobs there are for the raw loop, which is given a share as all are.
    jobs: int

    def new(self) -> str:
        """The URL of a place with nothing in it."""

    def raw(self, count: int) -> float:
        """Jobs per second of the raw loop: the better of one and two processes."""


class SqliteBroker:
    """A file, whose commits wait for the disk."""

    name, jobs = "SQLite", 200_000
    pid: int | None = None
    settings = f"SQLite {sqlite3.sqlite_version}, commits wait for the disk"
    loop = "acknowledge and claim 500 in a transaction"

    def __init__(self, place: Path) -> None:
        self._place = place / "queues"

    def new(self) -> str:
        """See `Broker`: a folder of its own, for what a peer puts beside."""
        shutil.rmtree(self._place, ignore_errors=True)
        self._place.mkdir()
        return url(self._place / "queue.db")

    def raw(self, count: int) -> float:
        """See `Broker`."""
        path = self._place / "raw.db"
        self.new()
        return max(raw.drain(filled(cleared(path), count), processes) for processes in (1, 2))


class PostgresBroker:
    """PostgreSQL, whose commits wait for the disk."""

    name, jobs = "PostgreSQL", 100_000
    loop = "acknowledge and claim 250 in one statement"

    def __init__(self, server: PostgresServer) -> None:
        import psycopg

        self._server = server
        self._numbers = itertools.count(1)
        self.pid: int | None = server.process.pid
        with psycopg.connect(server.url()) as connection:
            version = connection.info.server_version
        self.settings = f"PostgreSQL {version // 10000}.{version % 10000}, fsync on, synchronous_commit on"

    def new(self) -> str:
        """See `Broker`: a database of its own."""
        import psycopg

        name = f"bench{next(self._numbers)}"
        with psycopg.connect(self._server.url("postgres"), autocommit=True) as connection:
            connection.execute(f"create database {name}".encode())
        return self._server.url(name)

    def raw(self, count: int) -> float:
        """See `Broker`."""
        return max(PostgresStore(self._server).raw(count, processes) for processes in (1, 2))


class MongoBroker:
    """MongoDB, a replica set of one, whose journal the disk confirms."""

    name, jobs = "MongoDB", 40_000
    loop = "claim 500 by a token and delete them"

    def __init__(self, server: MongoServer) -> None:
        import pymongo

        self._server = server
        self._numbers = itertools.count(1)
        self.pid: int | None = server.members[0].pid
        with pymongo.MongoClient[dict[str, object]](server.url()) as client:
            self.settings = f"MongoDB {client.server_info()['version']}, a replica set of one, journal confirmed"

    def new(self) -> str:
        """See `Broker`: a database of its own."""
        return self._server.url(f"bench{next(self._numbers)}")

    def raw(self, count: int) -> float:
        """See `Broker`."""
        return max(MongoStore(self._server).raw(count, processes) for processes in (1, 2))


class RedisBroker:
    """Redis that writes a file of all commands, and has the disk confirm it every second."""

    name, jobs = "Redis", 200_000
    loop = "take and end 500 in one Lua call"

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self.pid: int | None = server.process.pid
        version = subprocess.run([server.program, "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout
        self.settings = f"Redis {version.partition('v=')[2].split()[0]}, appendonly yes, appendfsync everysec"

    def new(self) -> str:
        """See `Broker`."""
        import redis

        with redis.Redis.from_url(self._server.url()) as client:
            client.execute_command("FLUSHALL")
        return self._server.url()

    def raw(self, count: int) -> float:
        """See `Broker`."""
        return max(RedisStore(self._server).raw(count, processes) for processes in (1, 2))


class RabbitBroker:
    """A node that is a cluster of one: quorum queues have one replica, which writes to the disk before it confirms."""

    name, jobs = "RabbitMQ", 50_000
    loop = "pika with 500 delivered ahead, 250 acknowledged at once"

    def __init__(self, server: RabbitServer) -> None:
        import pika

        self._server = server
        self._numbers = itertools.count(1)
        self.pid: int | None = server.process.pid
        connection = pika.BlockingConnection(pika.URLParameters(server.url("%2F")))
        told: Any = connection._impl.server_properties
        connection.close()
        self.settings = f"RabbitMQ {told['version']}, one node, persistent messages, publisher confirms, quorum queues where the peer has them"

    def new(self) -> str:
        """See `Broker`: a virtual host of its own."""
        name = f"bench{next(self._numbers)}"
        self._server.control("add_vhost", name)
        self._server.control("set_permissions", "-p", name, "guest", ".*", ".*", ".*")
        return self._server.url(name)

    def raw(self, count: int) -> float:
        """See `Broker`."""
        return max(RabbitStore(self._server).raw(count, processes) for processes in (1, 2))


@contextmanager
def broker(name: str, place: Path) -> Iterator[Broker]:
    """Start the one of a name; what has no folder of its own on the disk gets one in a folder."""
    if name == "SQLite":
        yield SqliteBroker(place)
    elif name == "PostgreSQL":
        with PostgresServer(durable=True) as postgres:
            yield PostgresBroker(postgres)
    elif name == "MongoDB":
        with MongoServer(durable=True, cache=1 << 30) as mongo:
            yield MongoBroker(mongo)
    elif name == "Redis":
        with RedisServer(appendfsync="everysec", options=("--dir", str(place))) as redis:
            yield RedisBroker(redis)
    else:
        with RabbitServer(durable=True) as rabbit:
            yield RabbitBroker(rabbit)
