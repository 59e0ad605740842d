"""The table of batch sizes and rates, measured: PostgreSQL and MongoDB, a durable queue, worker processes that are up.

    python examples/market_orders/performance_test.py                      # on servers that it starts for itself
    python examples/market_orders/performance_test.py --postgresql postgresql://postgres:password@localhost:5432/market_data \\
        --mongodb mongodb://localhost:27017/market_data                    # or $POSTGRESQL_URL, $MONGODB_URL: on yours

In each row a producer keeps so many orders waiting for a while; beyond 10,000 all are there from the start. It writes into the table
`performance_test`, which it drops in the end; the queue of PostgreSQL is in the same database, that of MongoDB a file.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import islice
from tempfile import TemporaryDirectory
from typing import NamedTuple

import psycopg
import pymongo

from penstock.errors import PenstockError
from penstock.market import Day, Order
from penstock.processors import ParallelQueueProcessor, QueueResult
from penstock.processors.mongodb import with_database
from penstock.testing.servers import MongoServer, PostgresServer

TABLE = "performance_test"


class Row(NamedTuple):
    """A row of the table: how many orders are kept waiting, how many come together and are written together, and what is expected."""

    depth: str
    waiting: int
    come: int
    together: int
    postgresql: int
    mongodb: int


ROWS = (
    Row("< 100", 50, 10, 1, 1_000, 1_000),
    Row("100 - 1,000", 500, 100, 100, 10_000, 10_000),
    Row("1,000 - 10,000", 5_000, 500, 500, 50_000, 50_000),
    Row("> 10,000", 0, 1_000, 1_000, 100_000, 50_000),
)


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--postgresql", default=os.environ.get("POSTGRESQL_URL"), help="$POSTGRESQL_URL without")
    parser.add_argument("--mongodb", default=os.environ.get("MONGODB_URL"), help="$MONGODB_URL without")
    parser.add_argument("--workers", type=int, default=4, help="processes; %(default)s without")
    parser.add_argument("--seconds", type=float, default=3.0, help="that each row is measured; %(default)s without")
    parser.add_argument("--orders", type=int, default=300_000, help="in the row beyond 10,000; %(default)s without")
    parser.add_argument("--only", choices=["postgresql", "mongodb"], help="one of the databases")
    return parser.parse_args()


def main() -> int:
    """Measure each row on each database, and print the table."""
    given = arguments()
    with ExitStack() as running, TemporaryDirectory() as folder:
        os.chdir(folder)
        for name in [given.only] if given.only else ["postgresql", "mongodb"]:
            url = getattr(given, name) or running.enter_context(server(name)).url("penstock")
            print(f"\n{name}, {given.workers} workers, {os.cpu_count()} cores")
            print("| waiting | batch | expected ops/s | measured ops/s | mean batch | ms for a batch |")
            print("| --- | --- | --- | --- | --- | --- |")
            for row in ROWS:
                rate, result = measured(name, url, row, given)
                wanted = getattr(row, name)
                print(
                    f"| {row.depth} | {row.together:,} | {wanted:,} | {rate:,.0f}{'' if rate >= wanted else ' (missed)'} "
                    f"| {result.mean_batch:,.0f} | {result.database_latency * 1000:.1f} |",
                    flush=True,
                )
            drop(name, url)
    return 0


def server(name: str) -> PostgresServer | MongoServer:
    """A server of our own, whose commits survive a power cut."""
    return PostgresServer(durable=True) if name == "postgresql" else MongoServer(durable=True)


def measured(name: str, url: str, row: Row, given: argparse.Namespace) -> tuple[float, QueueResult]:
    """Orders written a second with a row's depth, and what the workers did."""
    table = "collection_name" if name == "mongodb" else "table_name"
    processor = ParallelQueueProcessor(f"depth_{row.together}", given.workers, name, url, **{table: TABLE})
    day = Day(orders=max(given.orders, 1_000_000))
    orders = iter(day)
    if not row.waiting:
        processor.put_many(islice(orders, given.orders))
    with processor:
        if not row.waiting:
            began, before = measured_from(processor, 1)
            processor.wait()
            return rate(processor, before, began), processor.stats()
        # The first orders are for the processes that still come up.
        sent = keep(processor, orders, row, 0, lambda done: done >= 3 * row.waiting)
        began, before = measured_from(processor, 0)
        keep(processor, orders, row, sent, lambda done: time.monotonic() - began >= given.seconds)
        return rate(processor, before, began), processor.stats()


def keep(
    processor: ParallelQueueProcessor, orders: Iterator[Order], row: Row, sent: int, enough: Callable[[int], bool]
) -> int:
    """Put in as many orders as are written, so that the depth stays, until it is enough; returns how many were put in, in all."""
    while not enough(done := processor.processed):
        lacking = done + row.waiting - sent
        for _ in range(max(0, lacking) // row.come):
            processor.put_many(islice(orders, row.come), row.together)
            sent += row.come
        time.sleep(0.01)  # in which no row of the table runs dry
    return sent


def measured_from(processor: ParallelQueueProcessor, least: int) -> tuple[float, int]:
    """When at least so many were written, and how many then."""
    while (done := processor.processed) < least:
        time.sleep(0.002)
    return time.monotonic(), done


def rate(processor: ParallelQueueProcessor, before: int, began: float) -> float:
    """Orders written a second since then."""
    return (processor.processed - before) / (time.monotonic() - began)


def drop(name: str, url: str) -> None:
    """Leave nothing in a database of somebody's."""
    if name == "postgresql":
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"drop table if exists {TABLE}")
    else:
        with pymongo.MongoClient[dict[str, object]](with_database(url, None)) as client:
            client.get_default_database().drop_collection(TABLE)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("stopped")
    except PenstockError as error:
        sys.exit(str(error))
