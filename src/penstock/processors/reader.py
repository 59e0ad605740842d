"""What is read back of a simulated market: what orders are looked up against, and what the books are checked by."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any, Protocol

from penstock.market import Order
from penstock.sinks import check_scheme

#: The tables, or collections.
ORDERS, POSITIONS = "market_orders", "market_positions"
INSTRUMENTS, ACCOUNTS = "market_instruments", "market_accounts"
#: Orders that are read at a time.
PAGE = 10_000

#: By account and symbol: pieces, and hundredths of cash.
Positions = dict[tuple[str, str], tuple[int, int]]

_READERS = {
    "mongodb": "penstock.processors.mongodb_reader:MongoReader",
    "mongodb+srv": "penstock.processors.mongodb_reader:MongoReader",
    "postgres": "penstock.processors.postgresql_reader:PostgresReader",
    "postgresql": "penstock.processors.postgresql_reader:PostgresReader",
}


class Reader(Protocol):
    """Reads from one database. What it raises is a `StoreError`; after one it connects anew."""

    def instrument(self, symbol: str) -> dict[str, Any] | None:
        """An instrument, as it was written; None where there is none."""

    def account(self, name: str) -> dict[str, Any] | None:
        """An account, likewise."""

    def last_order(self) -> int:
        """The highest order_id; 0 where there is no order."""

    def orders(self, since: int) -> Iterator[Order]:
        """The orders from an order_id on, by their order_id."""

    def positions(self) -> Positions:
        """All positions."""

    def close(self) -> None:
        """Disconnect. May be called twice."""


def open_reader(url: str) -> Reader:
    """The reader for a URL; it connects when it is first asked."""
    module, _, name = _READERS[check_scheme(url)].partition(":")
    reader: Reader = getattr(import_module(module), name)(url)
    return reader
