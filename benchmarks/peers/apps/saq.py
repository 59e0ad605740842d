"""SAQ's app."""

from __future__ import annotations

import os
from typing import Any

from saq import Queue

from benchmarks.peers import slots

queue = Queue.from_url(os.environ["PENSTOCK_PEERS_URL"])


async def mark(_context: Any, *, number: int) -> None:
    """Mark the slot of a number."""
    slots.mark(number)


settings = {"queue": queue, "functions": [mark], "concurrency": 10}


async def one(number: int) -> None:
    """Enqueue one."""
    await queue.enqueue("mark", number=number)
