"""Where a process takes its jobs from, and how many: what came while it stood by, the lanes of its queues, and the backend."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from msgspec.structs import replace

from penstock.brokers.amqp import dead
from penstock.brokers.amqp.deliveries import Deliveries, Delivery
from penstock.brokers.amqp.drawing import Drawing
from penstock.brokers.amqp.inbox import Inbox
from penstock.brokers.amqp.keeper import Keeper
from penstock.brokers.amqp.layout import Layout
from penstock.brokers.amqp.leaving import Leaving
from penstock.brokers.amqp.message import Message, lease_of
from penstock.brokers.amqp.names import Lane, Names
from penstock.brokers.amqp.running import Running
from penstock.brokers.amqp.shares import divided
from penstock.brokers.amqp.wire import Ring, Wire
from penstock.core.job import DEFAULT_PRIORITY, Holder, Lease
from penstock.core.outcome import Ending, Outcome
from penstock.errors import StoreError

#: Seconds after a look at the backend that found nothing, in which a process that has no lack of messages takes no other.
_LOOK = 0.1
#: Seconds between two looks for lanes that others have declared, of a process that has no lack of jobs.
_DISCOVER = 1.0
#: Seconds for which a consumer that stands by is trusted to be sent what there is.
_TRUST = 1.0
#: Seconds after an ending in which what comes to a consumer that stands by may well have been there before.
_RIGHT_AWAY = 0.01


class Taking:
    """What this connection takes for the process that has it.

    Parameters:
        wires: the channels, and what is delivered by the first of them.
        names: of the namespace.
        layout: what is declared.
        keeper: the backend.
        drawing: what goes over to the backend.
        leaving: what goes over to another store.
        inbox: events that are to become jobs.
        running: knows what is to be cancelled.
        publish: stores messages, each after so many seconds.
    """

    def __init__(
        self,
        wires: Callable[[], tuple[Wire, Wire, Deliveries]],
        names: Names,
        layout: Layout,
        keeper: Keeper,
        drawing: Drawing,
        leaving: Leaving,
        inbox: Inbox,
        running: Running,
        publish: Callable[[Sequence[tuple[Message, float]]], object],
    ) -> None:
        self._wires = wires
        self._names = names
        self._layout = layout
        self._keeper = keeper
        self._drawing = drawing
        self._leaving = leaving
        self._inbox = inbox
        self._running = running
        self._publish = publish
        self._turn = 0
        self._look_at = self._discover_at = self._trusted_until = self._ended_at = 0.0
        self._backend_first = False
        self._wake: Callable[[], None] | None = None
        self._others: list[Lease] = []

    def begin(self) -> int:
        """From here on, what is taken can be undone; returns the number of the last claim."""
        self._others = []
        return self._wires()[2].last_claim

    def undo(self, before: int, holder: Holder) -> None:
        """What was taken after a claim goes back: nobody would have it."""
        with suppress(StoreError):
            self._keeper.open().requeue(self._others, holder)
        # Where the connection is gone, they have gone back with it.
        with suppress(Exception):
            self.give_back([claim for claim in self._wires()[2].held if claim > before])

    def stood(self, limit: int, holder: Holder) -> list[Lease]:
        """Take what came while the process stood by; there may be more, so it is told to come again."""
        deliveries = self._wires()[2]
        if limit <= 0 or not deliveries.arrived:
            return []
        if time.monotonic() - self._ended_at < _RIGHT_AWAY:
            # There may be many, and one after the other is slow.
            self._trusted_until = 0.0
        leases = self._read(deliveries.stood(limit, holder))
        if self._wake is not None and len(leases) < limit:
            self._wake()
        return leases

    def stood_on(self, queues: Sequence[str]) -> bool:
        """Messages have just ended: does this process stand by for all lanes all the while?"""
        self._ended_at = time.monotonic()
        deliveries = self._wires()[2]
        return deliveries.arrived or deliveries.stands_by(self._lanes(queues))

    def first(self, queues: Sequence[str], limit: int, holder: Holder, now: float | None) -> tuple[bool, list[Lease]]:
        """Take from the backend, when it is its turn to be asked before RabbitMQ is; returns whether it was."""
        self._turn += 1
        if limit <= 0:
            return False, []
        if time.monotonic() >= self._discover_at:
            self._discover(queues, now)
        if self._drawing.limited(queues, now):
            self._look_at = 0.0
        # Now and then, and not twice in a row: neither starves the other.
        self._backend_first = time.monotonic() >= self._look_at and not self._backend_first
        return self._backend_first, self._from_backend(queues, limit, holder, now) if self._backend_first else []

    def the_rest(self, queues: Sequence[str], limit: int, holder: Holder, now: float | None) -> list[Lease]:
        """What else there is, for a process that is about to have nothing to do: by lanes that are new, and in the backend."""
        deliveries = self._wires()[2]
        self._discover(queues, now)
        self._drawing.limited(queues, now)
        shares = self.shares(queues, limit, ())
        if deliveries.plan(shares, (), idle=True) and not shares:
            deliveries.settle()
        leases = self.taken(shares, holder)
        if len(leases) < limit and (others := self._from_backend(queues, limit - len(leases), holder, now)):
            # It is busy from here on, and stands by no longer.
            leases += others
            leases += self._read(deliveries.stood(limit - len(leases), holder))
        return leases

    def stand_by(self, queues: Sequence[str], wake: Callable[[], None]) -> bool:
        """Have one message of each lane sent as soon as there is any; returns whether those are all the lanes there are."""
        self._wake = wake
        self._wires()[2].stand_by(self._lanes(queues))
        # What waits before a limit is drawn by who looks, and by nobody else.
        return not any(map(self._drawing.is_limited, queues))

    def shares(self, queues: Sequence[str], limit: int, ending: Sequence[int]) -> dict[Lane, int]:
        """How many messages to take from which lane.

        Parameters:
            ending: claims that are about to end.
        """
        lanes = self._lanes(queues) if limit > 0 else []
        if not lanes:
            return {}
        deliveries = self._wires()[2]
        if len(lanes) == 1 and deliveries.helping(lanes[0], ending) == limit:
            # A consumer that stands, and no other place to take from: what there is comes by itself.
            return {lanes[0]: limit}
        if deliveries.stands_by(lanes, ending) and time.monotonic() < self._trusted_until:
            return {}
        ready = self._drawing.ready(lanes)
        self._trusted_until = time.monotonic() + _TRUST
        return divided(ready, queues, limit, self._turn)

    def taken(self, shares: Mapping[Lane, int], holder: Holder) -> list[Lease]:
        """Take so many messages from each lane, or as many as there are."""
        return self._read(self._wires()[2].take(shares, holder, self._count)) if shares else []

    def _lanes(self, queues: Sequence[str]) -> list[Lane]:
        """Those of queues without a limit."""
        return [lane for queue in queues if not self._drawing.is_limited(queue) for lane in self._layout.lanes(queue)]

    def _count(self, lanes: Sequence[Lane]) -> list[int]:
        return self._wires()[1].counts(map(self._names.lane, lanes))

    def _discover(self, queues: Sequence[str], now: float | None) -> None:
        side = self._wires()[1]
        self._layout.ensure(side, [Lane(queue, DEFAULT_PRIORITY) for queue in queues])
        self._layout.discover(side, queues)
        # Where many events wait, the next of them are handed out soon.
        self._discover_at = 0.0 if self._inbox.hand_out(now) else time.monotonic() + _DISCOVER

    def _from_backend(self, queues: Sequence[str], limit: int, holder: Holder, now: float | None) -> list[Lease]:
        leases = self._keeper.open().exchange((), queues, limit, holder, now=now).leases
        self._others += leases
        self._look_at = time.monotonic() + _LOOK * (not leases)
        return leases

    def _read(self, deliveries: Sequence[tuple[int, Delivery]]) -> list[Lease]:
        """What was delivered, as leases; what is no job, or is to wait on, is ended here."""
        leases: list[Lease] = []
        waits: list[tuple[Message, float]] = []
        unread: list[int] = []
        lane_of = self._wires()[2].lane_of
        taken = [
            (claim, delivery, dead.read(delivery, lane_of(delivery), self._keeper)) for claim, delivery in deliveries
        ]
        gone = self._leaving.elsewhere([each for _, one, each in taken if each and (one.redelivered or each.due)])
        gone |= self._call_off([each for _, one, each in taken if each and one.redelivered and each.id not in gone])
        for claim, delivery, message in taken:
            if message is None or message.id in gone:
                unread.append(claim)
            elif message.rest:
                waits.append((replace(message, rest=0.0), message.rest))
                unread.append(claim)
            else:
                leases.append(lease_of(message, claim, self._crashes(message, delivery)))
        if unread:
            self._publish(waits)
            self._end(unread)
        leases.sort(key=lambda lease: -lease.priority)
        return leases

    def _call_off(self, messages: Sequence[Message]) -> set[bytes]:
        """Cancel those of these messages that were to be cancelled when their worker was killed; returns their ids."""
        marked = self._running.to_call_off(message.id for message in messages)
        if marked:
            outcomes = [Outcome(lease_of(one, 0, 0), Ending.CANCELLED) for one in messages if one.id in marked]
            self._keeper.take_over(outcomes, None)
        return marked

    def _end(self, claims: Sequence[int]) -> None:
        deliveries = self._wires()[2]
        deliveries.plan({}, claims)
        deliveries.end(claims)
        deliveries.settle()

    def give_back(self, claims: Sequence[int]) -> int:
        """Return messages to where they were, and have somebody look for them; returns how many."""
        work, _, deliveries = self._wires()
        if claims:
            deliveries.plan({}, claims)
            deliveries.give_back(claims)
            deliveries.settle()
            work.ring(Ring(self._names.bell))
        return len(claims)

    def _crashes(self, message: Message, delivery: Delivery) -> int:
        """How often the process that ran it died: nobody is asked about a message that comes for the first time."""
        return self._keeper.crashes(message.id) if delivery.redelivered else 0
