"""The workers of a simulated market: each order is looked up, and becomes a row and a change of a position."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from penstock.app import Penstock
from penstock.cache import Cache
from penstock.core.backoff import Backoff
from penstock.market import Order
from penstock.processors.reader import ORDERS, POSITIONS, Reader, open_reader
from penstock.sinks.base import OnConflict

#: Makes the app of a floor.
PROGRAM = "penstock.processors.floor:build"
#: By what orders, and what positions, are told apart.
ORDER_KEY, POSITION_KEY = ("order_id",), ("account", "symbol")
#: A database that is away for a lookup comes back; an order waits for it, and longer each time.
_RETRIES, _WAIT = 100, Backoff(first=0.2, longest=5.0)

V = TypeVar("V")


class Booking(Order, frozen=True, gc=False):
    """An order as it is stored.

    Parameters:
        lots: of its instrument, that it is for.
        desk: that its account belongs to.
    """

    lots: int = 0
    desk: str = ""


class Change(msgspec.Struct, frozen=True, gc=False):
    """What an order does to a position: it is added to what is there. `cash` is in hundredths."""

    account: str
    symbol: str
    quantity: int
    cash: int


class Floor(msgspec.Struct, frozen=True):
    """A simulated market, as its workers are told of it.

    Parameters:
        broker: URL of the queue.
        queue: its name.
        databases: URLs of those that orders go to, by name.
        adding: the names of those in which positions are kept.
        use_cache: look an instrument or account up once, and not for each order.
    """

    broker: str
    queue: str
    databases: dict[str, str]
    adding: tuple[str, ...]
    use_cache: bool = True

    @property
    def arguments(self) -> dict[str, str]:
        """Of `build`."""
        return {"floor": msgspec.json.encode(self).decode()}

    @property
    def tasks(self) -> list[str]:
        """The names of all tasks that an order is a job of."""
        return [f"{name}:{ORDERS}" for name in self.databases] + [f"{name}:{POSITIONS}" for name in self.adding]


def build(floor: str) -> Penstock:
    """The app of a market and of its workers; `floor` is a Floor as JSON."""
    told = msgspec.json.decode(floor, type=Floor)
    app = Penstock(told.broker)
    for name, url in told.databases.items():
        app.sink(
            url, table=ORDERS, rows=_Lookup(open_reader(url), use_cache=told.use_cache).booked, conflict_key=ORDER_KEY,
            queue=told.queue, name=f"{name}:{ORDERS}", retries=_RETRIES, backoff=_WAIT, give_up=(LookupError,),
        )  # fmt: skip
    for name in told.adding:
        app.sink(
            told.databases[name], table=POSITIONS, rows=changed, on_conflict=OnConflict.ADD, conflict_key=POSITION_KEY,
            queue=told.queue, name=f"{name}:{POSITIONS}",
        )  # fmt: skip
    return app


def changed(order: Order) -> Change:
    """What an order does to its account's position: it is filled at once, at its price; a cancel takes that back."""
    pieces = order.quantity if (order.side == "buy") != (order.type == "cancel") else -order.quantity
    return Change(order.account, order.symbol, pieces, -pieces * round(order.price * 100))


class _Lookup:
    """What orders are looked up in, in one process."""

    def __init__(self, reader: Reader, *, use_cache: bool) -> None:
        self._instrument, self._account = _found(reader.instrument, "symbol"), _found(reader.account, "account")
        if use_cache:
            self._instrument = Cache(self._instrument, name="instruments").get
            self._account = Cache(self._account, name="accounts").get

    def booked(self, order: Order) -> Booking:
        """An order with what is known of its instrument and its account; `LookupError` where one is not known."""
        lot, desk = self._instrument(order.symbol)["lot"], self._account(order.account)["desk"]
        return Booking(
            order.order_id, order.symbol, order.side, order.type, order.quantity, order.price, order.account,
            order.placed_at, order.cancels, order.quantity // lot, desk,
        )  # fmt: skip


def _found(find: Callable[[str], dict[str, Any] | None], what: str) -> Callable[[str], dict[str, Any]]:
    def found(key: str) -> dict[str, Any]:
        value = find(key)
        if value is None:
            raise LookupError(f"there is no {what} {key!r}: write it before its orders")
        return value

    return found
