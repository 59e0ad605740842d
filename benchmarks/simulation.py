"""A simulated day of a million orders into PostgreSQL: by `.map` into one table, and whole, with its positions."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from benchmarks.batches import DATABASE, SIZE, accounts, instruments, priced
from benchmarks.figures import AtLeast, Figure, alternate
from benchmarks.places import cleared, folder, until, url, worker
from penstock import Penstock
from penstock.market import Day, Order
from penstock.processors import MarketOrderProcessor
from penstock.processors.floor import changed
from penstock.processors.reader import ORDERS, POSITIONS
from penstock.testing.servers import PostgresServer

_BATCH = 1000
_TRADES = """
create table trades (
  order_id bigint primary key, symbol text not null, side text not null, quantity bigint not null,
  price double precision not null, account text not null, placed_at timestamptz not null, type text not null
)
"""
_TRADE_TYPES = ["int8", "text", "text", "int8", "float8", "text", "timestamptz", "text"]
_TABLES = f"""
create table {ORDERS} (
  order_id bigint primary key, symbol text, side text, type text, quantity bigint, price double precision, account text,
  placed_at timestamptz, cancels bigint, lots bigint, desk text
);
create table {POSITIONS} (account text, symbol text, quantity bigint, cash bigint, primary key (account, symbol));
create table changes (account text, symbol text, quantity bigint, cash bigint)
"""
_ORDER_TYPES = ["int8", "text", "text", "text", "int8", "float8", "text", "timestamptz", "int8", "int8", "text"]
_CHANGE_TYPES = ["text", "text", "int8", "int8"]
_ADD = f"""
insert into {POSITIONS} as p select account, symbol, sum(quantity), sum(cash) from changes group by account, symbol
on conflict (account, symbol) do update set quantity = p.quantity + excluded.quantity, cash = p.cash + excluded.cash
"""


def run(quick: bool) -> list[Figure]:
    """Both figures, on a server that commits as it does in production."""
    count, repeats = (100_000, 1) if quick else (1_000_000, 3)
    with folder() as place, PostgresServer(durable=True) as server:
        return [_mapped(server, place, count, repeats), _simulated(server, count, repeats)]


def _mapped(server: PostgresServer, place: Path, count: int, repeats: int) -> Figure:
    """`.map` of simulated orders, with two cached look-ups for each; against COPY of the same rows in one process."""
    day = list(Day(orders=count))

    def ours() -> float:
        database, queue = _emptied(server, "trades", _TRADES), url(cleared(place / "map.db"))
        with closing(Penstock(queue)) as app, _worker(queue, database):
            task = app.sink(database, table="trades", name="trades", rows=priced)
            began = time.perf_counter()
            task.map(day)
            until(lambda: _count(database) == count, limit=900.0)
            return count / (time.perf_counter() - began)

    samples = alternate(repeats, ours, lambda: _copied(_emptied(server, "trades", _TRADES), day))
    what = f"{count:,} simulated orders into PostgreSQL by .map, 2 processes, 2 look-ups in a cache for each"
    return samples.figure(what, "orders/s", ">= 0.5 of a bare COPY loop in one process", AtLeast(0.5))


def _simulated(server: PostgresServer, count: int, repeats: int) -> Figure:
    """`simulate_market_orders`, its queue in the same database; the loop makes, looks up and writes the same by itself."""
    tables = f"{ORDERS}, {POSITIONS}, changes"

    def ours() -> float:
        database = _emptied(server, tables, "")
        done = MarketOrderProcessor(postgresql_uri=database, progress=False).simulate_market_orders(count, workers=2)
        if not done.books_match:
            raise SystemExit(f"the books do not match: {done}")
        return count / done.seconds

    samples = alternate(repeats, ours, lambda: _booked(_emptied(server, tables, _TABLES), Day(orders=count)))
    what = f"simulate_market_orders of {count:,} orders into PostgreSQL with their positions, 2 workers, with the cache"
    return samples.figure(what, "orders/s", ">= 0.5 of a bare COPY loop in one process", AtLeast(0.5))


def _copied(database: str, day: list[Order]) -> float:
    """The bare loop: the same rows, 1,000 in a transaction."""
    instruments.clear()
    accounts.clear()
    began = time.perf_counter()
    with psycopg.connect(database) as connection, connection.cursor() as cursor:
        for batch in _batches(day):
            _copy(cursor, "trades", _TRADE_TYPES, (tuple(priced(order).values()) for order in batch))
            connection.commit()
    return len(day) / (time.perf_counter() - began)


def _booked(database: str, day: Day) -> float:
    """The bare loop of a whole day: the orders by COPY, and what they come to added to the positions, 1,000 in a transaction."""
    found = {each.symbol: each.lot for each in day.instruments()}
    desks = {name: f"D{number % 16}" for number, name in enumerate(day.holders())}
    began = time.perf_counter()
    with psycopg.connect(database) as connection, connection.cursor() as cursor:
        for batch in _batches(day):
            booked = (
                (*msgspec.structs.astuple(order), order.quantity // found[order.symbol], desks[order.account])
                for order in batch
            )
            _copy(cursor, ORDERS, _ORDER_TYPES, booked)
            _copy(cursor, "changes", _CHANGE_TYPES, (msgspec.structs.astuple(changed(order)) for order in batch))
            cursor.execute(_ADD)
            cursor.execute("truncate changes")
            connection.commit()
    return day.orders / (time.perf_counter() - began)


def _batches(orders: Iterable[Order]) -> Iterator[list[Order]]:
    rest = iter(orders)
    while batch := list(islice(rest, _BATCH)):
        yield batch


def _copy(cursor: psycopg.Cursor[Any], table: str, types: list[str], rows: Iterable[tuple[Any, ...]]) -> None:
    with cursor.copy(f"copy {table} from stdin (format binary)") as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)


def _emptied(server: PostgresServer, tables: str, made: str) -> str:
    """A database without what was there, and with new tables."""
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"drop table if exists {tables}")
        if made:
            connection.execute(made)
    return server.url()


def _count(database: str) -> int:
    with psycopg.connect(database) as connection:
        row = connection.execute("select count(*) from trades").fetchone()
        assert row is not None
        return int(row[0])


@contextmanager
def _worker(queue: str, database: str) -> Iterator[None]:
    """A worker with two processes that writes into a database."""
    with worker(queue, "-c", "2", app="benchmarks.batches:app", environment={DATABASE: database, SIZE: "adaptive"}):
        yield
