"""One job after the other with a store's driver alone: sent and confirmed, taken by an idle process, ended; nothing is lost, and nothing else is kept.

`python -m benchmarks.raw_single postgresql|redis|rabbitmq URL STAMPS` takes jobs until it is killed, and stamps each as its task would.
"""

from __future__ import annotations

import mmap
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.places import cleared
from benchmarks.tasks import STAMP

_QUEUE, _HELD = "raw:single", "raw:held"
_PATIENCE = 1.0


@contextmanager
def sender(kind: str, url: str) -> Iterator[Callable[[int], object]]:
    """What sends a number, and returns when the server has it."""
    senders = {
        "sqlite": _to_sqlite,
        "postgresql": _to_postgresql,
        "mongodb": _to_mongodb,
        "redis": _to_redis,
        "rabbitmq": _to_rabbitmq,
    }
    with senders[kind](url) as send:
        yield send


@contextmanager
def _to_sqlite(path: str) -> Iterator[Callable[[int], object]]:
    """A row in a table that has no index: a commit writes the page that it is in, and nothing else."""
    with closing(sqlite3.connect(cleared(Path(path)), isolation_level=None)) as connection:
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = full")
        connection.execute("create table job (number integer primary key, payload blob not null)")
        yield lambda number: connection.execute("insert into job (payload) values (?)", (b"%d" % number,))


@contextmanager
def _to_postgresql(url: str) -> Iterator[Callable[[int], object]]:
    """A row, and a word to those who wait, by one statement and its commit."""
    import psycopg

    send = "with sent as (insert into raw_single (number) values (%s)) select pg_notify('raw_single', '')"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("drop table if exists raw_single")
        connection.execute("create table raw_single (number integer primary key, held integer)")
        yield lambda number: connection.execute(send, (number,), prepare=True)


@contextmanager
def _to_mongodb(url: str) -> Iterator[Callable[[int], object]]:
    from benchmarks import raw_mongodb

    raw_mongodb.fill(url, 0)
    with raw_mongodb.client(url) as connected:
        jobs = connected.bare.jobs
        yield lambda number: jobs.insert_one(raw_mongodb.job(number))


@contextmanager
def _to_redis(url: str) -> Iterator[Callable[[int], object]]:
    import redis

    with redis.Redis.from_url(url) as client:
        client.delete(_QUEUE, _HELD)
        yield lambda number: client.execute_command("RPUSH", _QUEUE, number)


@contextmanager
def _to_rabbitmq(url: str) -> Iterator[Callable[[int], object]]:
    import pika

    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.confirm_delivery()
    channel.queue_declare(_QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
    channel.queue_purge(_QUEUE)
    properties = pika.BasicProperties(delivery_mode=2)
    yield lambda number: channel.basic_publish("", _QUEUE, b"%d" % number, properties, mandatory=True)
    connection.close()


def take_postgresql(url: str, stamp: Callable[[int], None]) -> None:
    """Take from PostgreSQL: a job is held by a commit, and deleted by another when it has ended."""
    import psycopg

    take = """
        update raw_single set held = pg_backend_pid() where number = (
          select number from raw_single where held is null order by number limit 1 for update skip locked)
        returning number
    """
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("listen raw_single")
        while True:
            for _ in connection.notifies(timeout=_PATIENCE, stop_after=1):
                pass
            while (found := connection.execute(take, prepare=True).fetchone()) is not None:
                stamp(found[0])
                connection.execute("delete from raw_single where number = %s", found, prepare=True)


def take_redis(url: str, stamp: Callable[[int], None]) -> None:
    """Take from Redis: a job is held in a second list until it has ended."""
    import redis

    with redis.Redis.from_url(url) as client:
        while True:
            number = client.execute_command("BLMOVE", _QUEUE, _HELD, "LEFT", "RIGHT", _PATIENCE)
            if number is not None:
                stamp(int(number))
                client.execute_command("LREM", _HELD, 1, number)


def take_rabbitmq(url: str, stamp: Callable[[int], None]) -> None:
    """Take from RabbitMQ: a job is acknowledged when it has ended."""
    import pika

    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.queue_declare(_QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
    channel.basic_qos(prefetch_count=1)

    def take(_channel: Any, method: Any, _properties: Any, body: bytes) -> None:
        stamp(int(body))
        channel.basic_ack(method.delivery_tag)

    channel.basic_consume(_QUEUE, take)
    channel.start_consuming()


def main() -> None:
    """Take jobs until killed."""
    kind, url, path = sys.argv[1:]
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        take = {"postgresql": take_postgresql, "redis": take_redis, "rabbitmq": take_rabbitmq}[kind]
        take(url, lambda number: STAMP.pack_into(memory, number * STAMP.size, time.monotonic()))


if __name__ == "__main__":
    main()
