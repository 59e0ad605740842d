"""A site: a bridge, a server on it, and nodes whose clocks differ."""

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# The nodes' processes import these modules from their working folder, and so does the test itself.
sys.path.insert(0, str(Path(__file__).parent))

from network import Network
from site_watch import FULL, Site

from penstock.testing.servers import MongoServer, PostgresServer, RedisServer

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def network() -> Iterator[Network]:
    network = Network()
    yield network
    network.remove()


@pytest.fixture(scope="session")
def network_postgres(network: Network) -> Iterator[PostgresServer]:
    with PostgresServer(address=network.address) as server:
        yield server


@pytest.fixture(scope="session")
def network_mongo(network: Network) -> Iterator[MongoServer]:
    with MongoServer(address=network.address) as server:
        yield server


@pytest.fixture(scope="session")
def network_redis(network: Network) -> Iterator[RedisServer]:
    with RedisServer(address=network.address) as server:
        yield server


@pytest.fixture(params=["postgresql", "mongodb", "redis"] if FULL else ["postgresql", "mongodb"])
def site(request: pytest.FixtureRequest, network: Network, tmp_path: Path) -> Iterator[Site]:
    """An empty queue that all nodes reach: one whose clock is right, one two minutes ahead, one two minutes behind."""
    if request.param == "postgresql":
        url = f"{request.getfixturevalue('network_postgres').url()}?schema=nodes{next(_numbers)}"
    elif request.param == "redis":
        url = f"{request.getfixturevalue('network_redis').url()}?namespace=nodes{next(_numbers)}"
    else:
        url = f"{request.getfixturevalue('network_mongo').url()}&namespace=nodes{next(_numbers)}"
    site = Site(url, tmp_path, {clock: network.node(tmp_path, clock) for clock in (0, 120, -120)})
    yield site
    site.close()
