"""Fixtures for every test."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from penstock.brokers import connect
from penstock.brokers.base import Broker
from penstock.testing.servers import MongoServer, PostgresServer, RabbitServer, RedisServer

pytest.register_assert_rewrite("penstock.testing.contract")

# No test is judged by the time it takes: a busy machine is no bug.
settings.register_profile("penstock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("penstock")

# A shell that runs the tests in the background has them ignore SIGINT, and whatever they start would ignore it as well.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure() -> None:
    """The tests' folders lie in memory, where it has room: most commits of the tests go to SQLite, and would wait for a disk."""
    with suppress(OSError):
        if shutil.disk_usage("/dev/shm").free >= 4 << 30:
            os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", "/dev/shm")


@pytest.fixture(scope="session")
def own_mounts() -> list[str]:
    """The start of a command that runs where it may mount what nobody else sees: disks that are full, say."""
    unshare = shutil.which("unshare")
    assert unshare is not None, "this test needs unshare (Debian: apt-get install util-linux)"
    # Root needs no user namespace, which a chroot refuses; anybody else needs one.
    ways = [[unshare, "--mount"], [unshare, "--mount", "--user", "--map-root-user"]]
    for way in ways:
        if (
            subprocess.run([*way, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False).returncode
            == 0
        ):
            return way
    raise AssertionError("this test mounts a small disk: run it as root, or where user namespaces are allowed")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL that all tests share; one that restarts or breaks its server starts its own."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def mongo_server() -> Iterator[MongoServer]:
    """A MongoDB replica set of one, shared likewise."""
    with MongoServer() as server:
        yield server


@pytest.fixture(scope="session")
def lone_mongo_server() -> Iterator[MongoServer]:
    """A MongoDB that is in no replica set, shared likewise."""
    with MongoServer(members=0) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A Redis that keeps nothing, shared likewise."""
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="session")
def rabbit_server() -> Iterator[RabbitServer]:
    """A RabbitMQ of one node, shared likewise; tests leave hundreds of queues behind in it."""
    with RabbitServer(tick=600) as server:
        yield server


@pytest.fixture
def opened() -> Iterator[Callable[[str], Broker]]:
    """Opens brokers by their URLs, and closes them when the test ends."""
    with ExitStack() as stack:

        def open_one(url: str) -> Broker:
            broker = connect(url)
            stack.callback(broker.close)
            broker.open()
            return broker

        yield open_one


@pytest.fixture
def queue_file(tmp_path: Path) -> Path:
    """Where a fresh queue may lie."""
    return tmp_path / "jobs.db"


@pytest.fixture
def queue_url(queue_file: Path) -> str:
    """The URL of a fresh SQLite queue."""
    return f"sqlite:///{queue_file}"
