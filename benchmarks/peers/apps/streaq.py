"""streaQ's app."""

from __future__ import annotations

import os
from collections.abc import Iterable

from streaq import Worker

from benchmarks.peers import slots

worker = Worker(redis_url=os.environ["PENSTOCK_PEERS_URL"])
_entered: list[bool] = []


@worker.task(name="mark", ttl=0)
async def mark(number: int) -> None:
    """Mark the slot of a number."""
    slots.mark(number)


async def _enter() -> None:
    if not _entered:
        _entered.append(True)
        # For as long as the program lives.
        await worker.__aenter__()


async def one(number: int) -> None:
    """Enqueue one."""
    await _enter()
    await mark.enqueue(number)


async def many(numbers: Iterable[int]) -> None:
    """Enqueue many."""
    await _enter()
    await worker.enqueue_many([mark.enqueue(number) for number in numbers])
