"""Messages that are taken and not run: those of queues with a limit go over to the backend, as what is to be done with them a message can't do.

A message is acknowledged when the backend has the job. Whoever is killed between the two has the message delivered again, and the backend knows the job
by its id for as long as it has not ended.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

from penstock.brokers.amqp import dead
from penstock.brokers.amqp.deliveries import Deliveries, Delivery
from penstock.brokers.amqp.keeper import Keeper
from penstock.brokers.amqp.layout import Layout
from penstock.brokers.amqp.message import Message, job_of
from penstock.brokers.amqp.names import Lane, Names
from penstock.brokers.amqp.wire import Ring, Wire
from penstock.core.job import Holder
from penstock.core.limiter import Limit, queue_gate
from penstock.errors import StoreError, StoreUnavailable

#: Messages of a lane that go over together, at most.
_AT_ONCE = 500
#: Messages that are looked at together, unless told otherwise.
_CHUNK = 2000
#: Seconds for which a lock is asked for that each has for some milliseconds, and between two times, at least and at most.
_PATIENCE = 5.0
_ASK_AGAIN = (0.002, 0.02)
_HOLDER = Holder("drawing")


#: The channels: one that messages come and go by, one that may be closed by a question without harm, and what is delivered by the first.
Wires = Callable[[], tuple[Wire, Wire, Deliveries]]


class Drawn(NamedTuple):
    """A message that was taken: by which claim, what it says, and whether somebody had it before."""

    claim: int
    message: Message
    redelivered: bool


class Taken(NamedTuple):
    """Messages that were taken together, and the claims of those among them that are neither acknowledged nor given back yet."""

    messages: list[Drawn]
    kept: set[int]


class Drawing:
    """What this connection takes without running it.

    Parameters:
        wires: the channels, and what is delivered by the first of them.
        names: of the namespace.
        layout: what is declared.
        keeper: the backend.
    """

    def __init__(self, wires: Wires, names: Names, layout: Layout, keeper: Keeper) -> None:
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
        while lanes and (shares := self.waiting(lanes, _AT_ONCE)):
            with self.taken(shares) as taken:
                self._keeper.make_way([one.message.id for one in taken.messages if one.redelivered])
                self._keeper.open().enqueue([job_of(one.message) for one in taken.messages], now=now)
                found = found or bool(taken.messages)
            lanes = [lane for lane, share in shares.items() if share == _AT_ONCE]
        return found

    def all_lanes(self) -> list[Lane]:
        """Every lane that there is; whoever else asks just now is waited for."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            side = self._wires()[1]
            try:
                return self._layout.all_lanes(side)
            except StoreUnavailable:
                if not side.was_locked_out or time.monotonic() >= deadline:
                    raise
            time.sleep(random.uniform(*_ASK_AGAIN))

    def depth(self, queue: str) -> int:
        """How many messages of a queue wait in its lanes."""
        self._layout.discover(self._wires()[1], [queue])
        return sum(self._count(self._layout.lanes(queue)))

    def purge(self, queue: str) -> int:
        """Delete the messages of a queue that wait in its lanes; returns how many."""
        _, side, _ = self._wires()
        self._layout.discover(side, [queue])
        return sum(side.purge(self._names.lane(lane)) for lane in self._layout.lanes(queue))

    def waiting(self, lanes: Sequence[Lane], most: int) -> dict[Lane, int]:
        """How many messages wait in each lane that has any, counted up to so many."""
        return {lane: min(most, count) for lane, count in self.ready(lanes).items() if count}

    def ready(self, lanes: Sequence[Lane]) -> dict[Lane, int]:
        """How many messages wait in each lane, with those that this connection has given back and that may not be there yet."""
        returned = self._wires()[2].returned
        return {lane: max(count, returned[lane]) for lane, count in zip(lanes, self._count(lanes), strict=True)}

    def _count(self, lanes: Sequence[Lane]) -> list[int]:
        return self._wires()[1].counts(map(self._names.lane, lanes))

    @contextmanager
    def taken(self, shares: Mapping[Lane, int], before: Sequence[int] = ()) -> Iterator[Taken]:
        """Take messages; they are acknowledged when the context ends well, but for those that are kept, and given back when it does not.

        Parameters:
            before: claims that are then given back before them, to come in their order again.
        """
        taken = Taken([], set())
        with self.delivered(shares, taken.kept, before) as came:
            lane_of = self._wires()[2].lane_of
            for claim, delivery in came:
                message = dead.read(delivery, lane_of(delivery), self._keeper)
                if message is not None:
                    taken.messages.append(Drawn(claim, message, delivery.redelivered))
            yield taken

    @contextmanager
    def delivered(
        self, shares: Mapping[Lane, int], kept: Container[int], before: Sequence[int] = ()
    ) -> Iterator[list[tuple[int, Delivery]]]:
        """As `taken`, whatever the messages say; `kept` is looked at when the context ends."""
        deliveries = self._wires()[2]
        # No consumer may stand that has had all it was made for: it would be sent nothing now, and more afterwards.
        deliveries.plan({}, ())
        came = deliveries.take(shares, _HOLDER, self._count)
        claims = [claim for claim, _ in came]
        try:
            yield came
        except BaseException:
            self._give_back([*before, *claims])
            raise
        ended = [claim for claim in claims if claim not in kept]
        deliveries.plan({}, ended)
        deliveries.end(ended)
        deliveries.settle()

    def sift(
        self,
        lanes: Iterable[Lane],
        fits: Callable[[Message], bool],
        act: Callable[[Sequence[Drawn]], None],
        most: int,
        chunk: int = _CHUNK,
    ) -> int:
        """Go through the messages of some lanes for those that fit; returns how many there were.

        The others are held until the end, since what is given back comes first again.

        Parameters:
            act: called with some of those that fit, before they are acknowledged.
            most: end when so many were found, or a few more.
            chunk: messages that are looked at together.
        """
        found, others = 0, list[int]()
        try:
            for lane in lanes:
                while found < most and (shares := self.waiting([lane], chunk)):
                    with self.taken(shares, others) as taken:
                        fitting = [one for one in taken.messages if fits(one.message)]
                        taken.kept.update({one.claim for one in taken.messages} - {one.claim for one in fitting})
                        act(fitting)
                    found += len(fitting)
                    others += taken.kept
        finally:
            self._give_back(others)
        return found

    def _give_back(self, claims: Sequence[int]) -> None:
        """Return messages to where they were. Where the connection is gone, they have gone back with it."""
        if not claims:
            return
        with suppress(StoreError):
            work, _, deliveries = self._wires()
            mine = [claim for claim in claims if claim in deliveries.held]
            deliveries.plan({}, mine)
            deliveries.give_back(mine)
            work.ring(Ring(self._names.bell))
