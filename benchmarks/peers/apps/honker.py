"""honker's app: a task for its own worker."""

from __future__ import annotations

import os

import honker

from benchmarks.peers import slots

database = honker.open(os.environ["PENSTOCK_PEERS_URL"].removeprefix("sqlite:///") + "-honker")
queue = database.queue("default")


@queue.task(store_result=False)
def mark(number: int) -> None:
    """Mark the slot of a number."""
    slots.mark(number)


def one(number: int) -> None:
    """Enqueue one."""
    mark(number)
