"""Batch tasks and sinks: sizes that are found against fixed ones, orders sent one by one, and a million of them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path

import msgspec

from benchmarks.batches import DATABASE, SIZE, accounts, instruments, priced
from benchmarks.figures import Figure, alone, alternate, at_least
from benchmarks.places import emptied, folder, url, worker
from benchmarks.targets import MongoTarget, PostgresTarget, Target
from penstock import Penstock
from penstock.cli.demo import orders
from penstock.market import Day, Order
from penstock.testing.servers import MongoServer, PostgresServer

#: Fixed sizes, and how many orders the benchmark drains with each: small batches would take minutes.
_FIXED = {1: 0.05, 10: 0.25, 100: 1.0, 1000: 1.0}
_APP = "benchmarks.batches:app"
#: What one process sends one by one, per second, with celery-batches and Redis into COPY.
_CELERY_BATCHES = 1500
_TRADES = """
create table trades (
  order_id bigint primary key, symbol text not null, side text not null, quantity bigint not null,
  price double precision not null, account text not null, placed_at timestamptz not null, type text not null
)
"""
_TYPES = ["int8", "text", "text", "int8", "float8", "text", "timestamptz", "text"]


def run(quick: bool) -> list[Figure]:
    """Every figure, on servers that commit as they do in production."""
    with folder() as place, PostgresServer(durable=True) as postgres:
        with MongoServer(durable=True, cache=1 << 30) as mongo:
            figures = [_against_fixed(each, place, quick) for each in (PostgresTarget(postgres), MongoTarget(mongo))]
        figures += [
            _one_by_one(postgres, "the queue in the same PostgreSQL", postgres.url, quick),
            _one_by_one(postgres, "the queue a SQLite file", lambda: url(_emptied(place / "delays.db")), quick),
            # What Redis promises: a power cut may lose the last moments.
            _one_by_one(
                postgres,
                "the same with durability=normal",
                lambda: f"{url(_emptied(place / 'delays.db'))}?durability=normal",
                quick,
            ),
            _million(postgres, place, quick),
        ]
    return figures


def _against_fixed(target: Target, place: Path, quick: bool) -> Figure:
    """A queue that is full from the start, drained by two processes; the best fixed size is found first."""
    count = 20_000 if quick else 100_000

    def rate(size: str, part: float = 1.0) -> float:
        # With ids of its own: those of the run before are in the indexes of the ledger for a while, as deleted.
        queue = _filled(_emptied(place / "queue.db"), int(count * part))
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
    return samples.figure(what, "orders/s", ">= 0.95 of the best of 1, 10, 100, 1,000", at_least(0.95))


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
            _until(lambda: target.count() == 1)
            began = time.perf_counter()
            for record in records[1:]:
                task.delay(record)
            sent = time.perf_counter() - began
            _until(lambda: target.count() == count)
            rates.append((count - 1) / (time.perf_counter() - began))
        print(f"  {where}: {count / sent:,.0f} sent per second", file=sys.stderr)
    what = f".delay of {count:,} orders one by one into PostgreSQL, {where}, until they are in"
    return alone(what, "orders/s", rates, ">= 15,000", lambda rate: rate >= 10 * _CELERY_BATCHES)


def _million(server: PostgresServer, place: Path, quick: bool) -> Figure:
    """`.map` of simulated orders, with two cached look-ups for each; against COPY of the same rows in one process."""
    count = 100_000 if quick else 1_000_000
    day = list(Day(orders=count))

    def ours() -> float:
        database, queue = _trades(server), url(_emptied(place / "map.db"))
        with closing(Penstock(queue)) as app, _worker(queue, database, "adaptive"):
            task = app.sink(database, table="trades", name="trades", rows=priced)
            began = time.perf_counter()
            task.map(day)
            _until(lambda: _count(database) == count)
            return count / (time.perf_counter() - began)

    samples = alternate(1 if quick else 3, ours, lambda: _copied(_trades(server), day))
    what = f"{count:,} simulated orders into PostgreSQL by .map, 2 processes, 2 look-ups in a cache for each"
    return samples.figure(what, "orders/s", ">= 0.5 of a bare COPY loop in one process", at_least(0.5))


def _copied(database: str, day: list[Order]) -> float:
    """The bare loop: the same rows, 1,000 in a transaction."""
    import psycopg

    instruments.clear()
    accounts.clear()
    began = time.perf_counter()
    rest = iter(day)
    with psycopg.connect(database) as connection, connection.cursor() as cursor:
        while batch := list(islice(rest, 1000)):
            with cursor.copy("copy trades from stdin (format binary)") as copy:
                copy.set_types(_TYPES)
                for order in batch:
                    copy.write_row(tuple(priced(order).values()))
            connection.commit()
    return len(day) / (time.perf_counter() - began)


def _trades(server: PostgresServer) -> str:
    import psycopg

    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("drop table if exists trades")
        connection.execute(_TRADES)
    return server.url()


def _count(database: str) -> int:
    import psycopg

    with psycopg.connect(database) as connection:
        row = connection.execute("select count(*) from trades").fetchone()
        assert row is not None
        return int(row[0])


def _filled(queue: Path, count: int) -> Path:
    """A SQLite queue with a job for each order."""
    with closing(Penstock(url(queue))) as app:
        task = app.sink("sqlite:///unused.db", table="orders", name="orders")
        task.delay_many((msgspec.json.decode(line),) for line in orders(count, 0))
    return queue


def _emptied(queue: Path) -> Path:
    for ending in ("", "-wal", "-shm", "-lock"):
        Path(f"{queue}{ending}").unlink(missing_ok=True)
    return queue


def _until(condition: Callable[[], bool], limit: float = 300.0, every: float = 0.1) -> None:
    deadline = time.monotonic() + limit
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"not all orders were in after {limit:g} s")
        time.sleep(every)


@contextmanager
def _worker(queue: str, database: str, size: str) -> Iterator[None]:
    """A worker with two processes that writes into a database."""
    with worker(queue, "-c", "2", app=_APP, environment={DATABASE: database, SIZE: size}):
        yield
