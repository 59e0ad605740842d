"""Reads a simulated market from MongoDB."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator
from typing import Any

from penstock.market import Order
from penstock.processors.reader import ACCOUNTS, INSTRUMENTS, ORDERS, POSITIONS, Positions
from penstock.stores import mongodb as store

_FIELDS = dict.fromkeys(Order.__struct_fields__, 1) | {"_id": 0}


class MongoReader:
    """See `Reader`. Safe to use from many threads; pymongo connects anew by itself."""

    def __init__(self, url: str) -> None:
        self._url = store.parse(url, ())
        self._client: store.Client | None = None
        self._lock = threading.Lock()

    def instrument(self, symbol: str) -> dict[str, Any] | None:
        """See `Reader.instrument`."""
        return self._find(INSTRUMENTS, symbol)

    def account(self, name: str) -> dict[str, Any] | None:
        """See `Reader.account`."""
        return self._find(ACCOUNTS, name)

    def last_order(self) -> int:
        """See `Reader.last_order`."""
        with store.translating(self._url.shown):
            last = self._database[ORDERS].find_one({}, {"_id": 1}, sort=[("_id", -1)])
        return 0 if last is None else int(last["_id"])

    def orders(self, since: int) -> Iterator[Order]:
        """See `Reader.orders`."""
        with store.translating(self._url.shown):
            for found in self._database[ORDERS].find({"_id": {"$gte": since}}, _FIELDS).sort("_id", 1):
                found["placed_at"] = found["placed_at"].astimezone(dt.UTC)
                yield Order(**found)

    def positions(self) -> Positions:
        """See `Reader.positions`."""
        with store.translating(self._url.shown):
            return {
                (found["account"], found["symbol"]): (int(found["quantity"]), int(found["cash"]))
                for found in self._database[POSITIONS].find({}, {"_id": 0})
            }

    def close(self) -> None:
        """See `Reader.close`."""
        if self._client is not None:
            self._client.close()
            self._client = None

    @property
    def _database(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = store.connect(self._url)
            return self._client[self._url.database]

    def _find(self, collection: str, id: str) -> dict[str, Any] | None:
        with store.translating(self._url.shown):
            found: dict[str, Any] | None = self._database[collection].find_one({"_id": id}, {"_id": 0})
        return found
