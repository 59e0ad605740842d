"""Where fresh stores come from, by the name of a kind of store."""

import itertools
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pymongo
import pytest

from penstock.brokers.base import Broker

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


def _emptied_mongodb(url: str) -> str:
    """A namespace as good as new. To make one takes MongoDB 0.3 s, for 17 collections with 40 indexes; to empty it, 0.03 s."""
    place, _, namespace = url.partition("namespace=")
    with pymongo.MongoClient(place.rstrip("?&")) as client:
        database = client.get_default_database()
        for name in database.list_collection_names(filter={"name": {"$regex": f"^{namespace}_"}}):
            database[name].delete_many({"_id": {"$ne": "schema"}})
    return url


def _emptied_postgresql(url: str) -> str:
    """A schema as good as new, with those that tests made beside it. To make one is to run all migrations."""
    place, _, schema = url.partition("?schema=")
    with psycopg.connect(place, autocommit=True) as connection:
        tables = connection.execute(
            "select format('%%I.%%I', schemaname, tablename) from pg_tables"
            " where split_part(schemaname, '_', 1) = %s and tablename <> 'meta'",
            [schema],
        ).fetchall()
        connection.execute(";".join(f"delete from {table}" for (table,) in tables).encode())
    return url


#: How a used namespace is emptied, where that takes less than to make a new one.
_EMPTIED = {"postgresql": _emptied_postgresql, "mongodb": _emptied_mongodb, "mongodb alone": _emptied_mongodb}


@pytest.fixture(params=list(STORES))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def new_url(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Makes URLs of fresh stores; whatever uses it runs on every broker."""
    make = STORES[kind](request, tmp_path)
    if kind not in _EMPTIED:
        return make
    used = _used.setdefault(kind, [])
    numbers = itertools.count()

    def reused() -> str:
        if (number := next(numbers)) < len(used):
            return _EMPTIED[kind](used[number])
        used.append(make())
        return used[number]

    return reused


@pytest.fixture
def only_url(kind: str, new_url: Callable[[], str]) -> Callable[[], str]:
    """The same, where only the newest store is in use."""
    if kind not in _EMPTIED:
        return new_url
    url = new_url()
    return lambda: _EMPTIED[kind](url)


@pytest.fixture
def rabbit_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh queue on RabbitMQ; its backend is a file."""
    return rabbit_urls(request, tmp_path)()


@pytest.fixture
def open_rabbit(rabbit_url: str, opened: Callable[[str], Broker]) -> Callable[[], Broker]:
    """Opens connections to it."""
    return lambda: opened(rabbit_url)


@pytest.fixture
def redis_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh queue on Redis."""
    return redis_urls(request, tmp_path)()
