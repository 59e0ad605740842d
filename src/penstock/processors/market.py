"""A day of orders, simulated, into one database or two, with the books checked in the end."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from itertools import islice
from typing import Any

import msgspec

from penstock.app import Penstock, load_app
from penstock.errors import ConfigError
from penstock.market import Books, Day, Order
from penstock.processors import mongodb, postgresql
from penstock.processors.floor import ORDER_KEY, POSITION_KEY, PROGRAM, Booking, Floor, changed
from penstock.processors.meter import meter
from penstock.processors.reader import ACCOUNTS, INSTRUMENTS, ORDERS, POSITIONS, Positions, Reader, open_reader
from penstock.processors.result import DatabaseCheck, MarketResult, hit_rates, queue_result
from penstock.sinks import open_sink
from penstock.sinks.base import OnConflict, Target
from penstock.work import Workers

#: Orders that are put together.
_CHUNK = 20_000
_ROW = 1000
_DESKS = 16
_encode = msgspec.msgpack.Encoder().encode


class MarketOrderProcessor:
    """Simulates an exchange's day into MongoDB and PostgreSQL, or into one of them.

    Each order is written into `market_orders` of every database, and added to its account's position in `market_positions`. The workers
    look its instrument and its account up, in `market_instruments` and `market_accounts`.

    Parameters:
        mongodb_uri, postgresql_uri: of the databases; where only one is given, only that one is written to; where none is, both
            at their usual places on this machine.
        queue: URL of the database that keeps the queue; PostgreSQL without, or MongoDB where there is no PostgreSQL.
        queue_name: of the queue.
        progress: show a bar; None is where standard error is a terminal.

    Raises:
        ConfigError: a URL can't be used.
    """

    def __init__(
        self,
        mongodb_uri: str | None = None,
        postgresql_uri: str | None = None,
        *,
        queue: str | None = None,
        queue_name: str = "market_simulation",
        progress: bool | None = None,
    ) -> None:
        if mongodb_uri is None and postgresql_uri is None:
            mongodb_uri, postgresql_uri = mongodb.URL, postgresql.URL
        self.databases: dict[str, str] = {}
        if postgresql_uri is not None:
            self.databases["postgresql"] = postgresql_uri
        if mongodb_uri is not None:
            self.databases["mongodb"] = mongodb.with_database(mongodb_uri, None)
        self._broker = queue or next(iter(self.databases.values()))
        self._queue_name = queue_name
        self._progress = progress

    def simulate_market_orders(
        self,
        num_orders: int = 100_000,
        workers: int = 10,
        use_cache: bool = True,
        *,
        seed: int = 7,
        symbols: int = 1000,
        accounts: int = 10_000,
    ) -> MarketResult:
        """Simulate a day, write it, and check the books.

        Orders of earlier days stay, and their numbers are not given again. What an interrupted simulation left in the queue is written first.

        Parameters:
            num_orders: orders of the day, cancels included.
            workers: processes.
            use_cache: look each instrument and account up once in a process, and not for every order.
            seed: of the day: the same seed makes the same orders.
            symbols: instruments traded.
            accounts: that trade.

        Raises:
            StoreError: a server can't be reached, or refuses.
            ConfigError: an option makes no sense, or the workers could not be started.
        """
        day = Day(seed=seed, orders=num_orders, symbols=symbols, accounts=accounts)
        notes = {name: _prepare(url, day) for name, url in self.databases.items()}
        adding = tuple(name for name, note in notes.items() if not note)
        floor = Floor(self._broker, self._queue_name, self.databases, adding, use_cache)
        app = load_app(PROGRAM, floor.arguments)
        with ExitStack() as open_:
            open_.callback(app.close)
            readers = {name: open_.enter_context(closing(open_reader(url))) for name, url in self.databases.items()}

            def new_workers() -> Workers:
                return Workers(
                    PROGRAM, workers, queues=[self._queue_name], arguments=floor.arguments, app=app, quiet=True
                )

            first = new_workers()
            if not first.is_empty():
                first.run_until_empty()
                first = new_workers()
            day = msgspec.structs.replace(day, first_id=1 + max(reader.last_order() for reader in readers.values()))
            before = {name: readers[name].positions() for name in adding}
            seconds = self._work(first, app, floor, day)
            sent = Books().apply(day)
            checks = {name: _checked(readers[name], sent, day, before.get(name), notes[name]) for name in readers}
            point = first.figures()
        return MarketResult(
            orders=day.orders,
            seconds=seconds,
            books_match=all(check.orders_match and check.positions_match is not False for check in checks.values()),
            databases=checks,
            cache_hit_rates=hit_rates(point.figures),
            work=queue_result(point, seconds=seconds, remaining=0, workers=workers, peak_memory=first.peak_bytes()),
        )

    def _work(self, workers: Workers, app: Penstock, floor: Floor, day: Day) -> float:
        """Put the day's orders into the queue while workers write them; returns how many seconds it took."""
        tasks = [app.find(name) for name in floor.tasks]
        with workers, meter("orders", workers.figures, day.orders * len(tasks), shown=self._progress) as show:
            began = time.monotonic()
            for chunk in _chunks(day):
                for task in tasks:
                    task.map(chunk, row_items=_ROW)
                show()
            while not workers.wait(0.1):
                show()
            seconds = time.monotonic() - began
            if not workers.alive:
                raise ConfigError("the workers had to stop, and orders are left in the queue: call it again to go on")
        return seconds


def _chunks(orders: Iterable[Order]) -> Iterator[list[Order]]:
    reader = iter(orders)
    while chunk := list(islice(reader, _CHUNK)):
        yield chunk


def _prepare(url: str, day: Day) -> str:
    """Make the tables, and write instruments and accounts; returns why positions can't be kept, where they can't."""
    instruments = [msgspec.structs.asdict(each) for each in day.instruments()]
    accounts = [{"account": name, "desk": f"D{number % _DESKS}"} for number, name in enumerate(day.holders())]
    _write(url, Target(INSTRUMENTS, OnConflict.UPDATE, ("symbol",)), instruments)
    _write(url, Target(ACCOUNTS, OnConflict.UPDATE, ("account",)), accounts)
    samples = list(islice(Day(seed=day.seed, orders=1000), 1000))
    bookings = [Booking(**msgspec.structs.asdict(order), lots=1, desk="D0") for order in samples]
    with closing(open_sink(url, Target(ORDERS, key=ORDER_KEY))) as sink:
        sink.create(msgspec.to_builtins(bookings))
    target = Target(POSITIONS, OnConflict.ADD, POSITION_KEY)
    try:
        adding = open_sink(url, target)
    except ConfigError as error:
        return str(error)
    with closing(adding) as sink:
        sink.create(msgspec.to_builtins([changed(order) for order in samples]))
    return ""


def _write(url: str, target: Target, rows: list[dict[str, Any]]) -> None:
    with closing(open_sink(url, target)) as sink:
        sink.create(rows)
        once = os.urandom(16)
        written = sink.write(once, _encode(rows))
        sink.forget(once)
    if written.rejected:
        raise ConfigError(f"{target.table} is there, and of another form ({written.rejected[0].reason}): drop it")


def _checked(reader: Reader, sent: Books, day: Day, before: Positions | None, note: str) -> DatabaseCheck:
    """Compare what a database holds with what was sent."""
    held = Books().apply(reader.orders(day.first_id))
    orders_match = (held.orders, held.checksum) == (sent.orders, sent.checksum)
    if before is None:
        return DatabaseCheck(held.orders, orders_match, None, note)
    pieces: dict[tuple[str, str], int] = {}
    cash: dict[str, int] = {}
    for holding, (quantity, hundredths) in reader.positions().items():
        quantity_before, hundredths_before = before.get(holding, (0, 0))
        if quantity != quantity_before:
            pieces[holding] = quantity - quantity_before
        cash[holding[0]] = cash.get(holding[0], 0) + hundredths - hundredths_before
    positions_match = pieces == sent.positions and _without_zeros(cash) == _without_zeros(sent.cash)
    return DatabaseCheck(held.orders, orders_match, positions_match)


def _without_zeros(cash: dict[str, int]) -> dict[str, int]:
    return {account: hundredths for account, hundredths in cash.items() if hundredths}
