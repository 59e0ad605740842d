"""Servers that are harmed on purpose, and what can be done to each: they belong to these tests alone."""

import itertools
import random
import threading
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Any

import psycopg
import pymongo
import redis
from pymongo.errors import PyMongoError

from penstock.chaos.proxy import Proxy
from penstock.errors import StoreUnavailable
from penstock.testing.servers import MongoServer, PostgresServer, RabbitServer, RedisServer
from penstock.testing.servers.server import Server

_names = itertools.count(1)
_pause = threading.Event()


class Harmed(ABC):
    """A server, as the tests see it, with a proxy before it."""

    scheme: str
    server: Server
    proxy: Proxy

    @abstractmethod
    def place(self) -> str:
        """The URL of a fresh, empty place on it."""

    @abstractmethod
    def through_proxy(self, url: str) -> str:
        """The same place by way of the proxy."""

    @abstractmethod
    def end_connections(self, dice: random.Random) -> None:
        """End some connections as its administrator can."""

    def stop(self) -> None:
        """In order."""
        self.server.stop()

    def kill(self) -> None:
        """kill -9."""
        self.server.kill()

    def start(self) -> None:
        """Start it again."""
        self.server.start()

    def remove(self) -> None:
        """End both for good."""
        self.proxy.close()
        self.server.remove()


def start_again(server: Server) -> None:
    """Start a server that was killed. Clients that try to reach it may have got its own port for a moment."""
    for _ in range(5):
        with suppress(StoreUnavailable):
            server.start()
            return
        _pause.wait(0.5)
    server.start()


class HarmedPostgres(Harmed):
    """A PostgreSQL, with a proxy before it."""

    scheme = "postgresql"
    server: PostgresServer

    def __init__(self) -> None:
        self.server = PostgresServer()
        self.start()
        self.proxy = Proxy(("127.0.0.1", self.server.process.port))

    def place(self) -> str:
        return f"{self.server.url()}?schema=chaos{next(_names)}"

    def through_proxy(self, url: str) -> str:
        return url.replace(f":{self.server.process.port}/", f":{self.proxy.port}/")

    def start(self) -> None:
        # After a kill its processes need a moment to see that the first of them is gone.
        for _ in range(50):
            with suppress(StoreUnavailable):
                self.server.start()
                return
            _pause.wait(0.1)
        self.server.start()

    def end_connections(self, dice: random.Random) -> None:
        with psycopg.connect(self.server.url(), autocommit=True) as connection:
            pids = connection.execute(
                "select pid from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()"
            ).fetchall()
            for (pid,) in pids:
                if dice.random() < 0.5:
                    connection.execute("select pg_terminate_backend(%s)", (pid,))


class HarmedMongo(Harmed):
    """A MongoDB: a replica set of one or three, or a server that stands alone; with a proxy before its first member."""

    scheme = "mongodb"
    server: MongoServer

    def __init__(self, members: int = 1) -> None:
        self.server = MongoServer(members=members)
        self.server.start()
        self.proxy = Proxy(("127.0.0.1", self.server.members[0].port))

    def place(self) -> str:
        url = self.server.url()
        return f"{url}{'&' if '?' in url else '?'}namespace=chaos{next(_names)}"

    def through_proxy(self, url: str) -> str:
        # The set names its member by its own port: who looks for the set would go round the proxy.
        direct = url.replace(f":{self.server.members[0].port}/", f":{self.proxy.port}/")
        return direct.replace("replicaSet=rs0", "directConnection=true")

    def end_connections(self, dice: random.Random) -> None:
        # What runs is ended; there is no command that ends a client's connection.
        client = pymongo.MongoClient[dict[str, Any]](self.server.url(), serverSelectionTimeoutMS=5000)
        with client, suppress(PyMongoError):
            for operation in client.admin.command("currentOp", active=True)["inprog"]:
                if operation.get("ns", "").startswith("penstock.") and dice.random() < 0.5:
                    client.admin.command("killOp", op=operation["opid"])


class HarmedRedis(Harmed):
    """A Redis that writes to its file before it answers, with a proxy before it."""

    scheme = "redis"
    server: RedisServer

    def __init__(self) -> None:
        self.server = RedisServer(appendfsync="always")
        self.server.start()
        self.proxy = Proxy(("127.0.0.1", self.server.port))

    def place(self) -> str:
        return f"{self.server.url()}?namespace=chaos{next(_names)}"

    def through_proxy(self, url: str) -> str:
        return url.replace(f":{self.server.port}/", f":{self.proxy.port}/")

    def end_connections(self, dice: random.Random) -> None:
        with redis.Redis(port=self.server.port) as client:
            own = client.client_id()
            for line in client.client_list():
                if int(line["id"]) != own and dice.random() < 0.5:
                    with suppress(redis.RedisError):
                        client.client_kill_filter(_id=line["id"])


class HarmedRabbit(Harmed):
    """A RabbitMQ of one node, with a proxy before it; its backend is a file beside its own."""

    scheme = "amqp"
    server: RabbitServer

    def __init__(self) -> None:
        self.server = RabbitServer()
        self.server.start()
        self.proxy = Proxy(("127.0.0.1", self.server.port))

    def place(self) -> str:
        name = f"chaos{next(_names)}"
        return f"{self.server.url()}?namespace={name}&backend=sqlite:///{self.server.process.folder}/{name}.db"

    def through_proxy(self, url: str) -> str:
        return url.replace(f":{self.server.port}/", f":{self.proxy.port}/")

    def start(self) -> None:
        start_again(self.server)

    def end_connections(self, dice: random.Random) -> None:
        # All of them: it tells of each by a number that changes with every start.
        self.server.control("close_all_connections", "harmed")


#: The fixture of each kind.
FIXTURES = {
    "postgresql": "harmed_postgres",
    "mongodb": "harmed_mongo",
    "redis": "harmed_redis",
    "rabbitmq": "harmed_rabbit",
}
