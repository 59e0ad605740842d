"""PgQueuer's app, and its worker: `python -m benchmarks.peers.apps.pgqueuer`."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from benchmarks.peers import slots

_AT_ONCE = 100
_queries: list[Queries] = []


async def main() -> None:
    """Run jobs until the process is told to end."""
    pgq = PgQueuer(AsyncpgDriver(await asyncpg.connect(os.environ["PENSTOCK_PEERS_URL"])))

    @pgq.entrypoint("mark")
    async def mark(job: Job) -> None:
        slots.mark(int(job.payload or b""))

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, pgq.shutdown.set)
    await pgq.run(batch_size=_AT_ONCE)


async def _connected() -> Queries:
    if not _queries:
        _queries.append(Queries(AsyncpgDriver(await asyncpg.connect(os.environ["PENSTOCK_PEERS_URL"]))))
    return _queries[0]


async def install() -> None:
    """Make the tables."""
    await (await _connected()).install()


async def one(number: int) -> None:
    """Enqueue one."""
    await (await _connected()).enqueue("mark", b"%d" % number)


async def many(numbers: Sequence[int]) -> None:
    """Enqueue many."""
    count = len(numbers)
    await (await _connected()).enqueue(["mark"] * count, [b"%d" % number for number in numbers], [0] * count)


if __name__ == "__main__":
    uvloop.run(main())
