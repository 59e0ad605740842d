"""A day of trading, made from a seed: the same seed makes the same orders, on every machine."""

from __future__ import annotations

import datetime as dt
import math
import random
from collections.abc import Iterator
from itertools import accumulate

import msgspec

from penstock.market.order import Instrument, Order

_OPENS = dt.time(9, 30, tzinfo=dt.UTC)
MINUTES = 390
#: How often an order is a market order and a cancel, as parts of all.
_MARKET = 0.3
_CANCEL = 0.1
#: Orders drawn together: one call of `random.choices` for so many is cheaper than a call for each.
_BLOCK = 4096
#: Limit orders that can still be cancelled. Older ones are taken to be done.
_OPEN = 10_000
#: Zipf's exponents: the n-th has a share of 1 / n ** exponent.
_SYMBOLS_SKEW = 1.0
_ACCOUNTS_SKEW = 0.8


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """A day's orders; iterate over it, as often as you like.

    Prices walk at random, symbol by symbol. Most orders come as the market opens and before it closes. Few symbols and few accounts
    make up most of the orders, by Zipf's law.

    Parameters:
        seed: of all that is drawn.
        orders: how many, cancels included.
        symbols: instruments traded.
        accounts: that trade.
        date: of the day.
        first_id: the first order's order_id; the others follow without a gap.
    """

    seed: int = 7
    orders: int = 100_000
    symbols: int = 1000
    accounts: int = 100_000
    date: dt.date = dt.date(2025, 1, 2)
    first_id: int = 1

    def instruments(self) -> list[Instrument]:
        """The instruments, the most traded first."""
        chance = random.Random(f"instruments {self.seed}")
        return [
            Instrument(
                _symbol(rank),
                round(math.exp(chance.uniform(math.log(5), math.log(500))), 2),
                chance.choice((1, 10, 100)),
                chance.uniform(0.0002, 0.001),
            )
            for rank in range(self.symbols)
        ]

    def holders(self) -> list[str]:
        """The accounts' names, the most active first."""
        return [f"A{number:06}" for number in range(1, self.accounts + 1)]

    def rates(self) -> list[float]:
        """Orders of each minute: ten times as many in the first as at noon, and seven times as many in the last."""
        weights = [
            1 + 9 * math.exp(-minute / 12) + 6 * math.exp(-(MINUTES - 1 - minute) / 9) for minute in range(MINUTES)
        ]
        return [self.orders * weight / sum(weights) for weight in weights]

    def __iter__(self) -> Iterator[Order]:
        """The orders, in the order of time."""
        chance = random.Random(self.seed)
        uniform = chance.random
        instruments = self.instruments()
        lots = [each.lot for each in instruments]
        prices = [each.price for each in instruments]
        floors = [each.price / 20 for each in instruments]
        names = [each.symbol for each in instruments]
        steps = [[chance.gauss(1.0, each.volatility) for _ in range(64)] for each in instruments]
        open_orders: list[Order] = []
        ids = self.first_id
        for times, whats, whos in self._draws(chance):
            for at, what, account in zip(times, whats, whos, strict=True):
                kind = uniform()
                if kind < _CANCEL and open_orders:
                    order = _cancel(ids, at, open_orders, int(uniform() * len(open_orders)))
                else:
                    price = prices[what] = max(floors[what], prices[what] * steps[what][int(uniform() * 64)])
                    limit = kind >= _CANCEL + _MARKET
                    buys = uniform() < 0.5
                    if limit:
                        away = uniform() * 0.004
                        price *= 1 - away if buys else 1 + away
                    order = Order(
                        ids,
                        names[what],
                        "buy" if buys else "sell",
                        "limit" if limit else "market",
                        lots[what] * (1 + int(uniform() * uniform() * 50)),
                        int(price * 100 + 0.5) / 100,
                        account,
                        at,
                    )
                    if limit:
                        _note(open_orders, order, uniform())
                ids += 1
                yield order

    def _draws(self, chance: random.Random) -> Iterator[tuple[list[dt.datetime], list[int], list[str]]]:
        """Blocks of times, of instruments by their rank, and of accounts."""
        ranks, holders = range(self.symbols), self.holders()
        by_symbol, by_account = _zipf(self.symbols, _SYMBOLS_SKEW), _zipf(self.accounts, _ACCOUNTS_SKEW)
        opens = dt.datetime.combine(self.date, _OPENS)
        times: list[dt.datetime] = []
        total = 0.0
        for minute, rate in enumerate(self.rates()):
            # What is rounded off in one minute is made up for in the next, and the sum is exact.
            count = round(total + rate) - round(total) if minute < MINUTES - 1 else self.orders - round(total)
            total += rate
            begins = minute * 60_000
            times += [
                opens + dt.timedelta(milliseconds=begins + int((index + chance.random()) * 60_000 / count))
                for index in range(count)
            ]
            while len(times) >= _BLOCK or (minute == MINUTES - 1 and times):
                block, times = times[:_BLOCK], times[_BLOCK:]
                yield (
                    block,
                    chance.choices(ranks, cum_weights=by_symbol, k=len(block)),
                    chance.choices(holders, cum_weights=by_account, k=len(block)),
                )


def _zipf(count: int, exponent: float) -> list[float]:
    return list(accumulate(1 / rank**exponent for rank in range(1, count + 1)))


def _symbol(rank: int) -> str:
    """Letters only, no two alike: AAAA, AAAB, ..."""
    letters = ""
    for _ in range(4):
        rank, letter = divmod(rank, 26)
        letters = chr(65 + letter) + letters
    return letters if not rank else f"{letters}{rank}"


def _note(open_orders: list[Order], order: Order, drawn: float) -> None:
    """Remember an order that may be cancelled, in the place of any where there are enough."""
    if len(open_orders) < _OPEN:
        open_orders.append(order)
    else:
        open_orders[int(drawn * _OPEN)] = order


def _cancel(id: int, at: dt.datetime, open_orders: list[Order], index: int) -> Order:
    """The cancel of an open order, which no other can cancel then."""
    order = open_orders[index]
    open_orders[index] = open_orders[-1]
    open_orders.pop()
    return Order(id, order.symbol, order.side, "cancel", order.quantity, order.price, order.account, at, order.order_id)
