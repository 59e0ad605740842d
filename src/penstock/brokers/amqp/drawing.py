"""Messages that go over to the backend, since what is to be done with them a message can't do: the jobs of queues that have a limit.

A message is acknowledged when the backend has the job. Whoever is killed between the two has the message delivered again, and the backend knows the job
by its id for as long as it has not ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from penstock.brokers.amqp import dead
from penstock.brokers.amqp.deliveries import Deliveries
from penstock.brokers.amqp.keeper import Keeper
from penstock.brokers.amqp.layout import Layout
from penstock.brokers.amqp.message import Message, job_of
from penstock.brokers.amqp.names import Lane, Names
from penstock.brokers.amqp.wire import Wire
from penstock.core.job import Holder
from penstock.core.limiter import Limit, queue_gate
from penstock.errors import StoreError

#: Messages of a lane that go over together, at most.
_AT_ONCE = 500
_HOLDER = Holder("drawing")


class Drawing:
    """What this connection takes without running it.

    Parameters:
        wires: the channels, and what is delivered by the first of them.
        names: of the namespace.
        layout: what is declared.
        keeper: the backend.
    """

    def __init__(
        self, wires: Callable[[], tuple[Wire, Wire, Deliveries]], names: Names, layout: Layout, keeper: Keeper
    ) -> None:
        self._wires = wires
        self._names = names
        self._layout = layout
        self._keeper = keeper
        self._limited: set[str] = set()

    def limit(self, limits: Mapping[str, Limit | None]) -> None:
        """Take note of which queues have a limit, as `Broker.declare` is told."""
        for name, limit in limits.items():
            if name.startswith(queue_gate("")):
                (self._limited.discard if limit is None else self._limited.add)(name[1:])

    def is_limited(self, queue: str) -> bool:
        """Are the jobs of a queue to be taken from the backend alone?"""
        return queue in self._limited

    def limited(self, queues: Sequence[str], now: float | None) -> bool:
        """Have the backend have what waits in those of these queues that have a limit; returns whether there was anything.

        All of it, though few may start: the backend then takes higher priorities first, whenever they came.
        """
        lanes = [lane for queue in queues if queue in self._limited for lane in self._layout.lanes(queue)]
        found = False
        while lanes and (shares := self._waiting(lanes, _AT_ONCE)):
            with self._taken(shares) as messages:
                self._keeper.open().enqueue([job_of(message) for message in messages], now=now)
                found = found or bool(messages)
            lanes = [lane for lane, share in shares.items() if share == _AT_ONCE]
        return found

    def purge(self, queue: str) -> int:
        """Delete the messages of a queue that wait in its lanes; returns how many."""
        _, side, _ = self._wires()
        self._layout.discover(side, [queue])
        return sum(side.purge(self._names.lane(lane)) for lane in self._layout.lanes(queue))

    def _waiting(self, lanes: Sequence[Lane], most: int) -> dict[Lane, int]:
        """How many messages to take of each lane."""
        counts = self._count(lanes)
        return {lane: min(most, count) for lane, count in zip(lanes, counts, strict=True) if count}

    def _count(self, lanes: Sequence[Lane]) -> list[int]:
        return self._wires()[1].counts(map(self._names.lane, lanes))

    @contextmanager
    def _taken(self, shares: Mapping[Lane, int]) -> Iterator[list[Message]]:
        """Take messages; they are acknowledged when the context ends well, and given back when it does not."""
        work, _, deliveries = self._wires()
        # No consumer may stand that has had all it was made for: it would be sent nothing now, and more afterwards.
        deliveries.plan({}, ())
        taken = deliveries.take(shares, _HOLDER, self._count)
        claims = [claim for claim, _ in taken]
        try:
            read = (dead.read(delivery, deliveries.lane_of(delivery), self._keeper) for _, delivery in taken)
            yield [message for message in read if message is not None]
        except BaseException:
            # Where the connection is gone, they have gone back with it.
            with suppress(StoreError):
                deliveries.plan({}, claims)
                deliveries.give_back(claims)
                work.ring(self._names.bell)
            raise
        deliveries.plan({}, claims)
        deliveries.end(claims)
        deliveries.settle()
