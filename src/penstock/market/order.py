"""What an exchange is told: orders, and the instruments they are for."""

from __future__ import annotations

import datetime as dt
from typing import Literal

import msgspec

Side = Literal["buy", "sell"]
Type = Literal["limit", "market", "cancel"]


class Order(msgspec.Struct, frozen=True, gc=False):
    """One order, or the cancel of one.

    A cancel repeats what it cancels, so that what it does to the books is known from itself alone.

    Parameters:
        order_id: different for each, growing with time.
        symbol: of the instrument.
        side: "buy" or "sell".
        type: "limit", "market" or "cancel".
        quantity: pieces, 1 or more.
        price: for one piece, in hundredths at the finest; a market order's is the last one seen.
        account: whose order it is.
        placed_at: in UTC, in whole milliseconds, which is what MongoDB keeps.
        cancels: the order_id of the order that a cancel cancels.
    """

    order_id: int
    symbol: str
    side: Side
    type: Type
    quantity: int
    price: float
    account: str
    placed_at: dt.datetime
    cancels: int | None = None


class Instrument(msgspec.Struct, frozen=True, gc=False):
    """What is traded.

    Parameters:
        symbol: by which orders name it.
        price: of its first trade of the day.
        lot: pieces that an order's quantity is a multiple of.
        volatility: the standard deviation of the change of its price from one order to its next, as a part of it.
    """

    symbol: str
    price: float
    lot: int
    volatility: float
