"""taskiq's app."""

from __future__ import annotations

import os

from taskiq_redis import RedisStreamBroker

from benchmarks.peers import slots

# From the first on: as it comes, its group of readers sees only what is sent once a worker has made it.
broker = RedisStreamBroker(url=os.environ["PENSTOCK_PEERS_URL"], consumer_id="0")
_started: list[bool] = []


@broker.task(task_name="mark")
async def mark(number: int) -> None:
    """Mark the slot of a number."""
    slots.mark(number)


async def one(number: int) -> None:
    """Enqueue one."""
    if not _started:
        _started.append(True)
        await broker.startup()
    await mark.kiq(number)
