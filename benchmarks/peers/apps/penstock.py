"""Penstock's app."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from benchmarks.peers import slots
from penstock import Penstock

app = Penstock(os.environ["PENSTOCK_URL"] + os.environ.get("PENSTOCK_PEERS_OPTIONS", ""))


@app.task
def mark(number: int) -> None:
    """Mark the slot of a number."""
    slots.mark(number)


if "PENSTOCK_PEERS_DATABASE" in os.environ:
    orders = app.sink(os.environ["PENSTOCK_PEERS_DATABASE"], table="orders", name="orders")


def one(number: int) -> None:
    """Enqueue one."""
    mark.delay(number)


def many(numbers: Iterable[int]) -> None:
    """Enqueue many."""
    mark.delay_many((number,) for number in numbers)


def order(record: dict[str, Any]) -> None:
    """Enqueue a row."""
    orders.delay(record)
