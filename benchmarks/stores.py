"""The stores on a server: queues that are filled, watched from outside, and drained by a bare loop."""

from __future__ import annotations

import itertools
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any, Protocol

from benchmarks.places import fill, watched, worker
from penstock.brokers import connect
from penstock.testing.servers import MongoServer, PostgresServer, RabbitServer, RedisServer

#: The servers, in the order of the tables.
NAMES = ("PostgreSQL", "MongoDB", "Redis", "RabbitMQ")
_numbers = itertools.count(1)


class Store(Protocol):
    """One kind of server."""

    name: str

    def new(self) -> str:
        """The URL of a new queue."""

    def look(self, url: str) -> Any:
        """A context with a function that says whether any job of a queue runs, and whether any is left."""

    def raw(self, count: int, processes: int) -> float:
        """Jobs per second of the bare loop."""


class PostgresStore:
    """PostgreSQL; the bare loop acks and claims 250 in one statement."""

    name = "PostgreSQL"

    def __init__(self, server: PostgresServer) -> None:
        self.server = server

    def new(self) -> str:
        """See `Store`."""
        return f"{self.server.url()}?schema=bench{next(_numbers)}"

    @contextmanager
    def look(self, url: str) -> Iterator[Any]:
        """See `Store`."""
        import psycopg

        place, _, schema = url.partition("?schema=")
        question = f"select exists (select from {schema}.lease), exists (select from {schema}.job where state = 0)"
        with psycopg.connect(place, autocommit=True) as connection:
            yield lambda: connection.execute(question).fetchone()

    def raw(self, count: int, processes: int) -> float:
        """See `Store`."""
        return _raw("benchmarks.raw_postgres", self.server.url(), count, processes)


class MongoStore:
    """MongoDB; the bare loop claims 500 by a token, and deletes them."""

    name = "MongoDB"

    def __init__(self, server: MongoServer) -> None:
        self.server = server

    def new(self) -> str:
        """See `Store`."""
        return f"{self.server.url()}&namespace=bench{next(_numbers)}"

    @contextmanager
    def look(self, url: str) -> Iterator[Any]:
        """See `Store`."""
        import pymongo

        with pymongo.MongoClient[dict[str, Any]](self.server.url()) as client:
            jobs = client["penstock"][f"{url.partition('namespace=')[2]}_jobs"]
            # From the other end: the server goes past all that was deleted from this one, which took 9 % of its time.
            yield lambda: (
                jobs.find_one({"worker": {"$exists": True}}, {"_id": 1}, sort=[("worker", -1)]) is not None,
                jobs.find_one({}, {"_id": 1}, sort=[("_id", -1)]) is not None,
            )

    def raw(self, count: int, processes: int, way: str = "drain") -> float:
        """See `Store`; the `way` may be `one`, job by job."""
        return _raw("benchmarks.raw_mongodb", self.server.url(), count, processes, way)


class RedisStore:
    """Redis; the bare loop takes and ends 500 in one Lua call."""

    name = "Redis"

    def __init__(self, server: RedisServer) -> None:
        self.server = server

    def new(self) -> str:
        """See `Store`."""
        return f"{self.server.url()}?namespace=bench{next(_numbers)}"

    @contextmanager
    def look(self, url: str) -> Iterator[Any]:
        """See `Store`."""
        import redis

        prefix = f"{{{url.partition('namespace=')[2]}}}:"
        with redis.Redis.from_url(self.server.url()) as client:
            yield lambda: (
                client.execute_command("EXISTS", f"{prefix}claims") > 0,
                client.execute_command("EXISTS", f"{prefix}jobs") > 0,
            )

    def raw(self, count: int, processes: int) -> float:
        """See `Store`."""
        return _raw("benchmarks.raw_redis", self.server.url(), count, processes)

    def memory(self) -> int:
        """Bytes that the server uses."""
        import redis

        with redis.Redis.from_url(self.server.url()) as client:
            told: dict[str, Any] = client.execute_command("INFO", "memory")
            return int(told["used_memory"])


class RabbitStore:
    """RabbitMQ; the bare loop has 500 delivered ahead, and acknowledges 250 at once."""

    name = "RabbitMQ"

    def __init__(self, server: RabbitServer) -> None:
        self.server = server
        self._folder = tempfile.TemporaryDirectory(prefix="penstock-bench-")

    def new(self) -> str:
        """See `Store`."""
        number = next(_numbers)
        return f"{self.server.url()}?namespace=bench{number}&backend=sqlite:///{self._folder.name}/{number}.db"

    @contextmanager
    def look(self, url: str) -> Iterator[Any]:
        """See `Store`. Messages that are delivered are not counted, so it ends a look after the last of them was: by then, their helping is run."""
        import pika

        queue = f"{url.partition('namespace=')[2].partition('&')[0]}.jobs.default~5"
        connection = pika.BlockingConnection(pika.URLParameters(self.server.url()))
        channel = connection.channel()

        waiting = 0

        def ask() -> tuple[bool, bool]:
            nonlocal waiting
            found, before = channel.queue_declare(queue, passive=True).method, waiting
            waiting = found.message_count
            return found.consumer_count > 0, waiting > 0 or before > 0

        yield ask
        connection.close()

    def raw(self, count: int, processes: int) -> float:
        """See `Store`."""
        return _raw("benchmarks.raw_amqp", self.server.url("%2F"), count, processes)


@contextmanager
def store(name: str) -> Iterator[Store]:
    """The one of a name, on a server that commits as it does in production."""
    if name == "PostgreSQL":
        with PostgresServer(durable=True) as postgres:
            yield PostgresStore(postgres)
    elif name == "MongoDB":
        with MongoServer(durable=True, cache=1 << 30) as mongo:
            yield MongoStore(mongo)
    elif name == "Redis":
        with RedisServer() as redis:
            yield RedisStore(redis)
    else:
        with RabbitServer(durable=True) as rabbit:
            yield RabbitStore(rabbit)


@contextmanager
def stores() -> Iterator[list[Store]]:
    """One of each, all at once."""
    with ExitStack() as stack:
        yield [stack.enter_context(store(name)) for name in NAMES]


def filled(url: str, ready: int, delayed: int = 0) -> str:
    """Put no-op jobs into a queue; returns its URL."""
    with closing(connect(url)) as broker:
        fill(broker, ready, delayed)
    return url


def drained(store: Store, url: str) -> float:
    """Seconds in which a worker with two processes ends what a queue holds."""
    with store.look(url) as look, worker(url, "-c", "2"):
        return watched(look, every=0.02)


def _raw(module: str, url: str, count: int, processes: int, way: str = "drain") -> float:
    def run(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", module, url, *arguments]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    filling = run("fill", str(count))
    if filling.wait():
        raise SystemExit(f"{module} could not fill its table")
    running = [run(way, str(number)) for number in range(processes)]
    for process in running:
        assert process.stdout is not None
        process.stdout.readline()
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate()[0].split() for process in running]
    first = min(float(answer[0]) for answer in answers)
    last = max(float(answer[1]) for answer in answers)
    ended = sum(int(answer[2]) for answer in answers)
    if ended != count:
        raise SystemExit(f"{module} ended {ended:,} jobs, not {count:,}")
    return count / (last - first)
