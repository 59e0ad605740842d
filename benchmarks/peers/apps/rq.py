"""RQ's app."""

from __future__ import annotations

import os
from collections.abc import Iterable

from redis import Redis
from rq import Queue

from benchmarks.peers import slots

queue = Queue(connection=Redis.from_url(os.environ["PENSTOCK_PEERS_URL"]))


def one(number: int) -> None:
    """Enqueue one."""
    queue.enqueue(slots.mark, number, result_ttl=0)


def many(numbers: Iterable[int]) -> None:
    """Enqueue many."""
    queue.enqueue_many([Queue.prepare_data(slots.mark, (number,), result_ttl=0) for number in numbers])
