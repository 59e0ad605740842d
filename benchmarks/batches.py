"""The app whose sinks the benchmarks fill; the environment names its queue, its database and its sizes."""

from __future__ import annotations

import os
from typing import Any

from penstock import Adaptive, Cache, Fixed, Penstock
from penstock.market import Day, Order

#: The URL of the database, and the size of a batch: a number, or "adaptive".
DATABASE, SIZE = "PENSTOCK_BENCH_DATABASE", "PENSTOCK_BENCH_SIZE"

_size = os.environ.get(SIZE, "adaptive")
_sizing = Adaptive() if _size == "adaptive" else Fixed(int(_size), batches=1)

app = Penstock()
_instruments = {each.symbol: each for each in Day().instruments()}
instruments: Cache[str, Any] = Cache(name="instruments", max_items=10_000, load=_instruments.__getitem__)
accounts: Cache[str, Any] = Cache(
    name="accounts", max_items=10_000, load=lambda account: {"account": account, "desk": 7}
)


def priced(order: Order) -> dict[str, Any]:
    """An order's row, with what two look-ups tell."""
    instrument, account = instruments.get(order.symbol), accounts.get(order.account)
    return {
        "order_id": order.order_id,
        "symbol": order.symbol,
        "side": order.side,
        "quantity": order.quantity * instrument.lot,
        "price": order.price,
        "account": account["account"],
        "placed_at": order.placed_at,
        "type": order.type,
    }


_database = os.environ.get(DATABASE, "sqlite:///orders.db")
orders = app.sink(_database, table="orders", name="orders", sizing=_sizing, max_size=10_000)
trades = app.sink(_database, table="trades", name="trades", rows=priced, max_size=10_000)
