"""What orders come to: positions and cash for each account, and a checksum over all that was applied."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

import msgspec

from penstock.market.order import Order

_MODULUS = 1 << 128
_encode = msgspec.msgpack.Encoder().encode


class Books(msgspec.Struct):
    """Positions, cash and a checksum, folded from orders in any order.

    Every order counts as filled at once, at its price; a cancel takes back what its order did. So what an order does hangs on
    nothing but itself, and books of parts add up to the books of all: `a + b`.

    The checksum is the sum of a hash of each order. Unlike an exclusive or, a sum tells an order that was applied twice, or three times, from
    one that was applied once. One that is missing, one that came twice in place of another and one with a changed field all change it, but
    for a chance of 1 in 2 ** 128.

    Parameters:
        orders: how many were applied.
        positions: pieces, by account and symbol; without those that are 0.
        cash: hundredths, by account; what was paid is negative.
        checksum: over every field of every order.
    """

    orders: int = 0
    positions: dict[tuple[str, str], int] = {}
    cash: dict[str, int] = {}
    checksum: int = 0

    def apply(self, orders: Iterable[Order]) -> Books:
        """Apply orders to these books, and return them."""
        positions, cash = self.positions, self.cash
        count, checksum = 0, 0
        for order in orders:
            # Bought is more pieces and less money; a cancel is the other way round.
            pieces = order.quantity if (order.side == "buy") != (order.type == "cancel") else -order.quantity
            holding = (order.account, order.symbol)
            held = positions.get(holding, 0) + pieces
            if held:
                positions[holding] = held
            else:
                positions.pop(holding, None)
            cash[order.account] = cash.get(order.account, 0) - pieces * round(order.price * 100)
            checksum += int.from_bytes(blake2b(_encode(order), digest_size=16).digest())
            count += 1
        self.orders += count
        self.checksum = (self.checksum + checksum) % _MODULUS
        return self

    def __add__(self, other: Books) -> Books:
        positions, cash = dict(self.positions), dict(self.cash)
        for holding, pieces in other.positions.items():
            positions[holding] = positions.get(holding, 0) + pieces
        for account, hundredths in other.cash.items():
            cash[account] = cash.get(account, 0) + hundredths
        return Books(
            self.orders + other.orders,
            {holding: pieces for holding, pieces in positions.items() if pieces},
            cash,
            (self.checksum + other.checksum) % _MODULUS,
        )
