"""What is ready in a MongoDB queue, and for how long it has been."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from penstock.brokers.base import Backlog
from penstock.brokers.mongodb.documents import home
from penstock.brokers.mongodb.layout import Layout


def backlog(layout: Layout, queues: Sequence[str], now: float, most: int) -> Backlog:
    """See `Broker.backlog`."""
    since = min((moment for queue in queues for moment in _heads(layout, queue)), default=None)
    if since is None:
        return Backlog()
    ready = {"queue": {"$in": list(queues)}, "place": {"$gte": 0}}
    return Backlog(layout.jobs.count_documents(ready, hint="ready", limit=most), max(0.0, now - since))


def _heads(layout: Layout, queue: str) -> Iterator[float]:
    """Since when the first job of each priority that the queue has jobs of has been ready."""
    beyond = 0
    while True:
        ready = layout.jobs.find({"queue": queue, "place": {"$gte": beyond}}, {"since": 1, "created": 1, "priority": 1})
        first = next(iter(ready.hint("ready").sort([("place", 1), ("_id", 1)]).limit(1)), None)
        if first is None:
            return
        yield float(first["since"] if "since" in first else first["created"])
        beyond = home(first["priority"] - 1, 0)
