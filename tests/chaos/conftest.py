"""The worlds of the chaos tests: a queue on each kind of store, and servers that may be harmed."""

import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# The workers' processes import these modules from their working folder, and so does the test itself.
sys.path.insert(0, str(Path(__file__).parent))
# What makes a cluster of Redis servers.
sys.path.append(str(Path(__file__).parents[1] / "brokers"))

from chaos_app import make
from harmed import FIXTURES, HarmedMongo, HarmedPostgres, HarmedRabbit, HarmedRedis
from oracle import World

pytest.register_assert_rewrite("days")

_numbers = itertools.count(1)


def fresh_url(kind: str, request: pytest.FixtureRequest, folder: Path) -> str:
    """The URL of an empty queue on a store of a kind, on a server that is shared and stays unharmed."""
    if kind == "sqlite":
        return f"sqlite:///{folder}/jobs.db"
    if kind == "postgresql":
        return f"{request.getfixturevalue('postgres_server').url()}?schema=chaos{next(_numbers)}"
    if kind == "lone mongodb":
        return f"{request.getfixturevalue('lone_mongo_server').url()}?namespace=chaos{next(_numbers)}"
    if kind == "redis":
        return f"{request.getfixturevalue('redis_server').url()}?namespace=chaos{next(_numbers)}"
    if kind == "rabbitmq":
        server = request.getfixturevalue("rabbit_server")
        return f"{server.url()}?namespace=chaos{next(_numbers)}&backend=sqlite:///{folder}/backend.db"
    return f"{request.getfixturevalue('mongo_server').url()}&namespace=chaos{next(_numbers)}"


@pytest.fixture
def new_place(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """Gives the URL of an empty queue on a store of a kind; there is one file."""
    return lambda kind: fresh_url(kind, request, tmp_path)


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """A queue in a file; or on the kind of store that the test is parametrised with."""
    url = fresh_url(getattr(request, "param", "sqlite"), request, tmp_path)
    world = World(tmp_path, make(url, str(tmp_path / "log")))
    yield world
    world.close()


@pytest.fixture(scope="session")
def harmed_postgres() -> Iterator[HarmedPostgres]:
    server = HarmedPostgres()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def harmed_mongo() -> Iterator[HarmedMongo]:
    server = HarmedMongo()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def harmed_redis() -> Iterator[HarmedRedis]:
    server = HarmedRedis()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def harmed_rabbit() -> Iterator[HarmedRabbit]:
    server = HarmedRabbit()
    yield server
    server.remove()


@pytest.fixture(params=["postgresql", "mongodb", "redis"])
def harmed(request: pytest.FixtureRequest) -> HarmedPostgres | HarmedMongo | HarmedRedis:
    """A server that may be harmed, and runs again at the end."""
    server: HarmedPostgres | HarmedMongo | HarmedRedis = request.getfixturevalue(FIXTURES[request.param])
    return server


@pytest.fixture
def harmed_world(harmed: HarmedPostgres | HarmedMongo | HarmedRedis, tmp_path: Path) -> Iterator[World]:
    """A queue on it; workers reach it through the proxy."""
    url = harmed.place()
    world = World(tmp_path, make(url, str(tmp_path / "log")), harmed.through_proxy(url))
    yield world
    world.close()
