"""Where fresh stores come from, by the name of a kind of store."""

import itertools
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

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


@pytest.fixture(params=list(STORES))
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Makes URLs of fresh stores; whatever uses it runs on every broker."""
    return STORES[request.param](request, tmp_path)
