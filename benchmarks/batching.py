"""Batch tasks and sinks: sizes that are found against fixed ones, and orders sent one by one."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from benchmarks.batches import DATABASE, SIZE
from benchmarks.figures import AtLeast, Figure, alone, alternate
from benchmarks.places import cleared, emptied, folder, until, url, worker
from benchmarks.targets import MongoTarget, PostgresTarget, Target
from penstock import Penstock
from penstock.cli.demo import orders
from penstock.testing.servers import MongoServer, PostgresServer

#: Fixed sizes, and how many orders the benchmark drains with each: small batches would take minutes.
_FIXED = {1: 0.05, 10: 0.25, 100: 1.0, 1000: 1.0}
_APP = "benchmarks.batches:app"
#: What one process sends one by one, per second, with celery-batches and Redis into COPY.
_CELERY_BATCHES = 1500


def run(quick: bool) -> list[Figure]:
    """Every figure, on servers that commit as they do in production."""
    with folder() as place, PostgresServer(durable=True) as postgres:
        with MongoServer(durable=True, cache=1 << 30) as mongo:
            figures = [_against_fixed(each, place, quick) for each in (PostgresTarget(postgres), MongoTarget(mongo))]
        figures += [
            _one_by_one(postgres, "the queue in the same PostgreSQL", postgres.url, quick),
            _one_by_one(postgres, "the queue a SQLite file", lambda: url(cleared(place / "delays.db")), quick),
            # What Redis promises: a power cut may lose the last moments.
            _one_by_one(
                postgres,
                "the same with durability=normal",
                lambda: f"{url(cleared(place / 'delays.db'))}?durability=normal",
                quick,
            ),
        ]
    return figures


def _against_fixed(target: Target, place: Path, quick: bool) -> Figure:
    """A queue that is full from the start, drained by two processes; the best fixed size is found first."""
    count = 20_000 if quick else 100_000

    def rate(size: str, part: float = 1.0) -> float:
        # With ids of its own: those of the run before are in the indexes of the ledger for a while, as deleted.
        queue = _filled(cleared(place / "queue.db"), int(count * part))
        database = target.empty()
        with _worker(url(queue), database, size):
            took = emptied(queue)
        if target.count() != int(count * part):
            raise SystemExit(f"{target.name} has {target.count():,} orders")
        return int(count * part) / took

    rates = {size: rate(str(size), part) for size, part in _FIXED.items()}
    best = max(rates, key=rates.__getitem__)
    for size, found in rates.items():
        print(f"  {target.name}: {size} in a batch: {found:,.0f} orders/s", file=sys.stderr)
    samples = alternate(2 if quick else 5, lambda: rate("adaptive"), lambda: rate(str(best)))
    what = f"sink in {target.name}, {count:,} jobs from SQLite, 2 processes: adaptive against fixed {best:,}"
    return samples.figure(what, "orders/s", ">= 0.95 of the best of 1, 10, 100, 1,000", AtLeast(0.95))


def _one_by_one(server: PostgresServer, where: str, make: Callable[[], str], quick: bool) -> Figure:
    """`.delay` of each order in one thread while a worker runs, until the last is in the table."""
    count = 5_000 if quick else 100_000
    records = [msgspec.json.decode(line) for line in orders(count, 0)]
    target = PostgresTarget(server)
    rates: list[float] = []
    for _ in range(1 if quick else 3):
        database, queue = target.empty(), make()
        with closing(Penstock(queue)) as app, _worker(queue, database, "adaptive"):
            task = app.sink(database, table="orders", name="orders")
            task.delay(records[0])
            until(lambda: target.count() == 1)
            began = time.perf_counter()
            for record in records[1:]:
                task.delay(record)
            sent = time.perf_counter() - began
            until(lambda: target.count() == count)
            rates.append((count - 1) / (time.perf_counter() - began))
        print(f"  {where}: {count / sent:,.0f} sent per second", file=sys.stderr)
    what = f".delay of {count:,} orders one by one into PostgreSQL, {where}, until they are in"
    return alone(what, "orders/s", rates, ">= 15,000", lambda rate: rate >= 10 * _CELERY_BATCHES)


def _filled(queue: Path, count: int) -> Path:
    """A SQLite queue with a job for each order."""
    with closing(Penstock(url(queue))) as app:
        task = app.sink("sqlite:///unused.db", table="orders", name="orders")
        task.delay_many((msgspec.json.decode(line),) for line in orders(count, 0))
    return queue


@contextmanager
def _worker(queue: str, database: str, size: str) -> Iterator[None]:
    """A worker with two processes that writes into a database."""
    with worker(queue, "-c", "2", app=_APP, environment={DATABASE: database, SIZE: size}):
        yield
