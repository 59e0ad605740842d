"""The way in: `.delay_many` and `.delay`."""

from __future__ import annotations

import itertools
import time
from contextlib import closing
from pathlib import Path

from benchmarks import raw, raw_redis
from benchmarks.figures import AtLeast, Figure, alternate
from benchmarks.places import cleared, folder, url
from penstock import Penstock, Task
from penstock.brokers.sqlite.broker import SqliteBroker
from penstock.stores import sqlite
from penstock.testing.servers import RedisServer

_numbers = itertools.count(1)


def noop(number: int) -> None:
    """Do nothing."""


def run(quick: bool) -> list[Figure]:
    """On SQLite both against inserts of the same rows: 1,000 in a transaction, and one. On Redis `.delay` against one Lua call of the client's."""
    many, single = (20_000, 500) if quick else (200_000, 3_000)
    repeats = 3 if quick else 7
    with folder() as place:
        in_batches = alternate(repeats, lambda: _delay_many(place, many), lambda: _raw(place, many, 1000))
        one_by_one = alternate(repeats, lambda: _delay(place, single), lambda: _raw(place, single, 1))
    with RedisServer() as server:
        by_redis = alternate(
            repeats, lambda: _delay_redis(server, 10 * single), lambda: raw_redis.enqueue(server.url(), 10 * single)
        )
    return [
        in_batches.figure(f".delay_many of {many:,}", "jobs/s", ">= 0.5 of raw", AtLeast(0.5)),
        one_by_one.figure(f".delay, {single:,} one by one", "jobs/s", ">= 0.8 of raw", AtLeast(0.8)),
        by_redis.figure(f"Redis: .delay, {10 * single:,} one by one", "jobs/s", ">= raw", AtLeast(1)),
    ]


def _delay_many(place: Path, count: int) -> float:
    task = _task(place)
    began = time.perf_counter()
    task.delay_many((n,) for n in range(count))
    return count / (time.perf_counter() - began)


def _delay(place: Path, count: int) -> float:
    return _one_by_one(_task(place), count)


def _delay_redis(server: RedisServer, count: int) -> float:
    with closing(Penstock(f"{server.url()}?namespace=enqueue{next(_numbers)}")) as app:
        task = app.task(noop)
        task.delay(0)
        return _one_by_one(task, count)


def _one_by_one(task: Task[[int], None], count: int) -> float:
    began = time.perf_counter()
    for n in range(count):
        task.delay(n)
    return count / (time.perf_counter() - began)


def _task(place: Path) -> Task[[int], None]:
    """A task whose app is connected: the first job has gone in."""
    task = Penstock(url(empty(place / "ours.db"))).task(noop)
    task.delay(0)
    return task


def _raw(place: Path, count: int, batch: int) -> float:
    log = sqlite.SHORT_LOG if batch == 1 else sqlite.LONG_LOG
    with closing(sqlite.connect(str(empty(place / "raw.db")), log=log)) as connection:
        raw.insert(connection, 1, 1)
        return raw.insert(connection, count, batch)


def empty(path: Path) -> Path:
    """A new queue without jobs."""
    with closing(SqliteBroker(url(cleared(path)))) as broker:
        broker.open()
    return path
