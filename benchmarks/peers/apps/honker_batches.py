"""honker's queue without its tasks, and a worker of its calls for many: `python -m benchmarks.peers.apps.honker_batches`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterable

import honker

from benchmarks.peers import slots

_BATCH = 1_000

database = honker.open(os.environ["PENSTOCK_PEERS_URL"].removeprefix("sqlite:///") + "-honker")
queue = database.queue("default")


def one(number: int) -> None:
    """Enqueue one."""
    queue.enqueue(number)


def many(numbers: Iterable[int]) -> None:
    """Enqueue many."""
    with database.transaction() as transaction:
        for number in numbers:
            queue.enqueue(number, tx=transaction)


async def main() -> None:
    """Claim, run and acknowledge many at once; where there are none, wait until the file changes."""
    loop, name = asyncio.get_running_loop(), f"worker-{os.getpid()}"
    loop.add_signal_handler(signal.SIGTERM, sys.exit, 0)
    changes = database.update_events()
    while True:
        jobs = queue.claim_batch(name, _BATCH)
        for job in jobs:
            slots.mark(job.payload)
        if jobs:
            queue.ack_batch([job.id for job in jobs], name)
            # The loop hears of the signal that ends it.
            await asyncio.sleep(0)
        else:
            await anext(changes)


if __name__ == "__main__":
    asyncio.run(main())
