"""taskito's app."""

from __future__ import annotations

import os
from collections.abc import Iterable

from taskito import Queue

from benchmarks.peers import slots

queue = Queue(
    db_path=os.environ["PENSTOCK_PEERS_URL"].removeprefix("sqlite:///"),
    workers=2,
    scheduler_batch_size=100,
    push_dispatch=True,
)


@queue.task(name="mark")
def mark(number: int) -> None:
    """Mark the slot of a number."""
    slots.mark(number)


def one(number: int) -> None:
    """Enqueue one."""
    mark.delay(number)


def many(numbers: Iterable[int]) -> None:
    """Enqueue many."""
    mark.map([(number,) for number in numbers])
