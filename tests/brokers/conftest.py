"""Where fresh stores come from, by the name of a kind of store."""

import itertools
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pika
import psycopg
import pymongo
import pytest

from penstock.brokers.base import Broker
from penstock.testing.servers import RabbitServer

# Tests import what several of them share.
sys.path.insert(0, str(Path(__file__).parent))

#: Makes the URLs of fresh, empty stores; it gets the test's folder, and the session's servers through `request`.
Maker = Callable[[pytest.FixtureRequest, Path], Callable[[], str]]

_numbers = itertools.count(1)


def sqlite_urls(_: pytest.FixtureRequest, folder: Path) -> Callable[[], str]:
    return lambda: f"sqlite:///{folder}/queue{next(_numbers)}.db"


def postgres_urls(request: pytest.FixtureRequest, _: Path) -> Callable[[], str]:
    server = request.getfixturevalue("postgres_server")
    return lambda: f"{server.url()}?schema=s{next(_numbers)}"


def mongo_urls(request: pytest.FixtureRequest, _: Path) -> Callable[[], str]:
    server = request.getfixturevalue("mongo_server")
    return lambda: f"{server.url()}&namespace=n{next(_numbers)}"


def lone_mongo_urls(request: pytest.FixtureRequest, _: Path) -> Callable[[], str]:
    server = request.getfixturevalue("lone_mongo_server")
    return lambda: f"{server.url()}?namespace=n{next(_numbers)}"


def redis_urls(request: pytest.FixtureRequest, _: Path) -> Callable[[], str]:
    server = request.getfixturevalue("redis_server")
    return lambda: f"{server.url()}?namespace=n{next(_numbers)}"


def rabbit_urls(request: pytest.FixtureRequest, folder: Path) -> Callable[[], str]:
    server = request.getfixturevalue("rabbit_server")

    def make() -> str:
        number = next(_numbers)
        return f"{server.url()}?namespace=n{number}&backend=sqlite:///{folder}/backend{number}.db"

    return make


STORES: dict[str, Maker] = {
    "sqlite": sqlite_urls,
    "postgresql": postgres_urls,
    "mongodb": mongo_urls,
    "mongodb alone": lone_mongo_urls,
    "redis": redis_urls,
    "rabbitmq": rabbit_urls,
}


@pytest.fixture(scope="session")
def stores() -> dict[str, Maker]:
    return STORES


#: Namespaces that earlier tests have used, by the kind of server.
_used: dict[str, list[str]] = {}


class Emptier:
    """Makes used namespaces as good as new."""

    def __init__(self) -> None:
        self._ways = {"postgresql": self._postgresql, "mongodb": self._mongodb, "mongodb alone": self._mongodb}
        self._connections: dict[str, psycopg.Connection] = {}

    def knows(self, kind: str) -> bool:
        """Is it less work there than to make a new one?"""
        return kind in self._ways

    def empty(self, kind: str, url: str) -> str:
        """Returns the URL."""
        self._ways[kind](url)
        return url

    def close(self) -> None:
        for each in self._connections.values():
            each.close()

    def _mongodb(self, url: str) -> None:
        """To make one takes MongoDB 0.3 s, for 17 collections with 40 indexes; to empty it, 0.03 s."""
        place, _, namespace = url.partition("namespace=")
        with pymongo.MongoClient(place.rstrip("?&")) as client:
            database = client.get_default_database()
            for name in database.list_collection_names(filter={"name": {"$regex": f"^{namespace}_"}}):
                database[name].delete_many({"_id": {"$ne": "schema"}})

    def _postgresql(self, url: str) -> None:
        """With the schemas that tests made beside it. To make one is to run all migrations."""
        place, _, schema = url.partition("?schema=")
        try:
            _delete_all(self._connections[place], schema)
        except (KeyError, psycopg.OperationalError):
            # There are tests that cut every connection.
            self._connections[place] = psycopg.connect(place, autocommit=True)
            _delete_all(self._connections[place], schema)


def _delete_all(connection: psycopg.Connection, schema: str) -> None:
    tables = connection.execute(
        "select format('%%I.%%I', schemaname, tablename) from pg_tables"
        " where split_part(schemaname, '_', 1) = %s and tablename <> 'meta'",
        [schema],
    ).fetchall()
    connection.execute(";".join(f"delete from {table}" for (table,) in tables).encode())


@pytest.fixture(scope="session")
def emptier() -> Iterator[Emptier]:
    with closing(Emptier()) as emptier:
        yield emptier


@pytest.fixture(params=list(STORES))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def new_url(kind: str, request: pytest.FixtureRequest, tmp_path: Path, emptier: Emptier) -> Callable[[], str]:
    """Makes URLs of fresh stores; whatever uses it runs on every broker."""
    make = STORES[kind](request, tmp_path)
    if not emptier.knows(kind):
        return make
    used = _used.setdefault(kind, [])
    numbers = itertools.count()

    def reused() -> str:
        if (number := next(numbers)) < len(used):
            return emptier.empty(kind, used[number])
        used.append(make())
        return used[number]

    return reused


@pytest.fixture
def only_url(kind: str, new_url: Callable[[], str], emptier: Emptier) -> Callable[[], str]:
    """The same, where only the newest store is in use."""
    if not emptier.knows(kind):
        return new_url
    url = new_url()
    return lambda: emptier.empty(kind, url)


@pytest.fixture
def rabbit_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh queue on RabbitMQ; its backend is a file."""
    return rabbit_urls(request, tmp_path)()


@pytest.fixture
def open_rabbit(rabbit_url: str, opened: Callable[[str], Broker]) -> Callable[[], Broker]:
    """Opens connections to it."""
    return lambda: opened(rabbit_url)


@pytest.fixture
def channel(rabbit_server: RabbitServer) -> Iterator[Any]:
    """A program beside it that knows RabbitMQ alone; what it publishes is confirmed."""
    with closing(pika.BlockingConnection(pika.URLParameters(rabbit_server.url("%2F")))) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        yield channel


@pytest.fixture
def redis_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh queue on Redis."""
    return redis_urls(request, tmp_path)()
