"""Reads a simulated market from PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

import psycopg
from psycopg.rows import dict_row

from penstock.market import Order
from penstock.processors.reader import PAGE, Positions
from penstock.stores import postgres as store


class PostgresReader:
    """See `Reader`. Safe to use from many threads, which take turns."""

    def __init__(self, url: str) -> None:
        self._url = store.parse(url, ())
        self._connection: store.Connection | None = None
        self._lock = threading.Lock()

    def instrument(self, symbol: str) -> dict[str, Any] | None:
        """See `Reader.instrument`."""
        return next(iter(self._rows("instrument", symbol=symbol)), None)

    def account(self, name: str) -> dict[str, Any] | None:
        """See `Reader.account`."""
        return next(iter(self._rows("account", account=name)), None)

    def last_order(self) -> int:
        """See `Reader.last_order`."""
        return int(self._rows("last_order")[0]["last"])

    def orders(self, since: int) -> Iterator[Order]:
        """See `Reader.orders`."""
        while page := self._rows("orders", since=since, most=PAGE):
            for row in page:
                yield Order(**row)
            since = page[-1]["order_id"] + 1

    def positions(self) -> Positions:
        """See `Reader.positions`."""
        rows = self._rows("positions")
        return {(row["account"], row["symbol"]): (int(row["quantity"]), int(row["cash"])) for row in rows}

    def close(self) -> None:
        """See `Reader.close`."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _rows(self, name: str, **parameters: object) -> list[dict[str, Any]]:
        with self._lock:
            if self._connection is None:
                self._connection = store.connect(self._url)
            try:
                with store.translating(self._url.shown), self._connection.cursor(row_factory=dict_row) as cursor:
                    return cursor.execute(_statement(name), parameters).fetchall()
            except BaseException:
                # Whatever it was: what the connection still has to say would be taken for the next answer.
                self.close()
                raise


@cache
def _statement(name: str) -> psycopg.sql.SQL:
    text = files("penstock.processors").joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")
    return psycopg.sql.SQL(text)
