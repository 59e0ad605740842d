"""What things are called in RabbitMQ. Everything of one namespace begins with its name and a dot."""

from __future__ import annotations

import hashlib
import secrets
from typing import NamedTuple
from urllib.parse import quote

#: A routing key may have 255 bytes, of which the digits of a delay take 56.
_LONGEST = 150


class Lane(NamedTuple):
    """The jobs of one queue and priority: one quorum queue, since these know no priorities before RabbitMQ 4.

    A level stands as a lane of no queue, by its digit: see `Names.level`.
    """

    queue: str
    priority: int

    @property
    def key(self) -> str:
        """The last word of its routing keys: without dots, and short however long the queue's name is."""
        name = quote(self.queue, safe="").replace(".", "%2E")
        if len(name) > _LONGEST:
            name = hashlib.sha256(self.queue.encode()).hexdigest()
        return f"{name}~{self.priority}"


#: Where events of other programs wait, as a lane of no queue: see `Names.lane`.
EVENTS = Lane("", -1)


class Names:
    """The names of one namespace.

    Parameters:
        namespace: which.
    """

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._queues: dict[Lane, str] = {}
        #: A fanout exchange that tells listeners of work.
        self.bell = f"{namespace}.bell"
        #: A direct exchange that routes the key of a lane where the lane has been declared, and a queue that keeps none of it.
        self.known = f"{namespace}.known"
        #: A topic exchange where delays end.
        self.due = f"{namespace}.due"
        #: A word about each lane that was ever declared, and the lock of who reads them.
        self.lanes = f"{namespace}.lanes"
        self.reading = f"{namespace}.reading"
        #: What a queue gave up delivering, and the exchange it comes by.
        self.dropped = f"{namespace}.dropped"
        #: A topic exchange that other programs publish events to, and the queue where these wait for a worker.
        self.topics = f"{namespace}.topics"
        self.events = f"{namespace}.events"
        #: A topic exchange that every event comes to, for queues of programs that are not Penstock's.
        self.published = f"{namespace}.published"

    def lane(self, lane: Lane) -> str:
        """The queue of a lane."""
        found = self._queues.get(lane)
        if found is None:
            found = self._queues[lane] = self._queue(lane)
        return found

    def _queue(self, lane: Lane) -> str:
        if lane == EVENTS:
            return self.events
        if not lane.queue:
            return self.level(lane.priority)
        return f"{self._namespace}.jobs.{lane.key}"

    def level(self, digit: int) -> str:
        """The queue, and the exchange before it, where jobs wait whose delay has this binary digit."""
        return f"{self._namespace}.delay.{digit}"

    def guard(self) -> str:
        """A queue that is there for a moment, under a name that no other ever had."""
        return f"{self._namespace}.guard.{secrets.token_hex(8)}"
