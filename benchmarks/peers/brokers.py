"""The brokers that contests are on: private servers, set up to keep what they take."""

from __future__ import annotations

import itertools
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from benchmarks.enqueue import empty
from benchmarks.places import url
from penstock.testing.servers import MongoServer, PostgresServer, RedisServer

#: The scheme of each broker's URL.
SCHEMES = {"SQLite": "sqlite", "PostgreSQL": "postgresql", "MongoDB": "mongodb", "Redis": "redis", "RabbitMQ": "amqp"}


class Broker(Protocol):
    """A running server."""

    name: str

    @property
    def settings(self) -> str:
        """How it is set up, in words, with its version."""

    @property
    def pid(self) -> int | None:
        """Of its process; None where there is no server."""

    def new(self) -> str:
        """The URL of a queue with nothing in it."""


class SqliteBroker:
    """A file, whose commits wait for the disk."""

    name, pid = "SQLite", None
    settings = f"SQLite {sqlite3.sqlite_version}, durability=full"

    def __init__(self, place: Path) -> None:
        self._path = place / "queue.db"

    def new(self) -> str:
        """See `Broker`."""
        return url(empty(self._path))


class PostgresBroker:
    """PostgreSQL, whose commits wait for the disk."""

    name = "PostgreSQL"

    def __init__(self, server: PostgresServer) -> None:
        import psycopg

        self._server = server
        self._numbers = itertools.count(1)
        self.pid = server.process.pid
        with psycopg.connect(server.url()) as connection:
            version = connection.info.server_version
        self.settings = f"PostgreSQL {version // 10000}.{version % 10000}, fsync on, synchronous_commit on"

    def new(self) -> str:
        """See `Broker`: a schema of its own."""
        return f"{self._server.url()}?schema=bench{next(self._numbers)}"


class MongoBroker:
    """MongoDB, a replica set of one, whose journal the disk confirms."""

    name = "MongoDB"

    def __init__(self, server: MongoServer) -> None:
        import pymongo

        self._server = server
        self._numbers = itertools.count(1)
        self.pid = server.members[0].pid
        with pymongo.MongoClient[dict[str, object]](server.url()) as client:
            self.settings = f"MongoDB {client.server_info()['version']}, a replica set of one, journal confirmed"

    def new(self) -> str:
        """See `Broker`: a namespace of its own."""
        return f"{self._server.url()}&namespace=bench{next(self._numbers)}"


class RedisBroker:
    """Redis that writes a file of all commands, and has the disk confirm it every second."""

    name = "Redis"

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self.pid = server.process.pid
        version = subprocess.run([server.program, "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout
        self.settings = f"Redis {version.partition('v=')[2].split()[0]}, appendonly yes, appendfsync everysec"

    def new(self) -> str:
        """See `Broker`."""
        import redis

        with redis.Redis.from_url(self._server.url()) as client:
            client.execute_command("FLUSHALL")
        return self._server.url()


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
        from benchmarks.peers.rabbitmq import RabbitBroker

        with RabbitBroker() as rabbit:
            yield rabbit
