"""awa's app, and its worker: `python -m benchmarks.peers.apps.awa`."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import awa

from benchmarks.peers import slots

_QUEUE, _AT_ONCE = "bench", 32


@dataclass
class Mark:
    """The slot of a number is to be marked."""

    number: int


_clients: list[awa.AsyncClient] = []


async def mark(job: Any) -> None:
    """Mark the slot of a number."""
    slots.mark(job.args.number)


def _client() -> awa.AsyncClient:
    # It wants a running loop.
    if not _clients:
        _clients.append(awa.AsyncClient(os.environ["PENSTOCK_PEERS_URL"]))
    return _clients[0]


async def install() -> None:
    """Make the tables."""
    await _client().migrate()
    await _client().install_queue_storage()


async def one(number: int) -> None:
    """Enqueue one."""
    await _client().insert(Mark(number), queue=_QUEUE)


async def many(numbers: Iterable[int]) -> None:
    """Enqueue many."""
    await _client().enqueue_many_copy([Mark(number) for number in numbers], queue=_QUEUE)


async def main() -> None:
    """Run jobs until the process is told to end."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    client = _client()
    client.task(Mark, queue=_QUEUE)(mark)
    await client.start([(_QUEUE, _AT_ONCE)])
    await ended.wait()
    await client.shutdown()


if __name__ == "__main__":
    asyncio.run(main())
