"""A simulated exchange: a day of orders from a seed, and the books that prove that each was applied once."""

from __future__ import annotations

from penstock.market.books import Books
from penstock.market.day import Day
from penstock.market.order import Instrument, Order, Side, Type

__all__ = ["Books", "Day", "Instrument", "Order", "Side", "Type"]
