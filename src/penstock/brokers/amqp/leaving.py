"""Messages on their way to another store: the backend has them first, under queues that no worker takes from, and lets them leave as its own jobs.

A message is acknowledged when the backend has the job. Of one that is delivered again, since the mover was killed between the two, the backend tells
whether it has left; if not, whoever deletes it there first has it: the worker that got the message, or the mover. So it never runs at both places. A message that was delayed is looked at
in the same way, since it is not told of such a one that it was delivered before.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress

from msgspec.structs import replace

from penstock.brokers.amqp import dead
from penstock.brokers.amqp.drawing import Drawing, Drawn, Wires
from penstock.brokers.amqp.inbox import Inbox
from penstock.brokers.amqp.keeper import RESULT, Keeper
from penstock.brokers.amqp.layout import Layout
from penstock.brokers.amqp.message import Message
from penstock.brokers.amqp.names import Lane, Names
from penstock.brokers.inspect import Selection
from penstock.core.shipment import MovedJob, Shipment
from penstock.core.states import State
from penstock.errors import StoreUnavailable

#: Before the name of a queue: jobs of it that were messages.
LEAVING = "penstock.leaving:"
#: Seconds for which nothing must have been seen, so that nothing is left: a delayed message may be between two levels, and of what a worker
#: runs as a message only its next heartbeat tells.
_QUIET, _BEAT = 0.5, 3.0
#: Seconds of silence after which a worker runs nothing.
_SILENT = 6.0


class Leaving:
    """What this connection lets leave.

    Parameters:
        drawing: takes messages.
        wires: the channels.
        names: of the namespace.
        layout: what is declared.
        keeper: the backend.
        inbox: events that are to become jobs before they can leave.
    """

    def __init__(
        self, drawing: Drawing, wires: Wires, names: Names, layout: Layout, keeper: Keeper, inbox: Inbox
    ) -> None:
        self._drawing = drawing
        self._wires = wires
        self._names = names
        self._layout = layout
        self._keeper = keeper
        self._inbox = inbox
        self._seen_at = time.monotonic()
        self._lanes: list[Lane] = []

    def draw(self, queues: Sequence[str] | None, most: int) -> bool:
        """Have the backend have some messages, those first that are ready; returns whether there were any.

        Parameters:
            queues: only those of these; None is all.
            most: messages, about.
        """
        work, side, _ = self._wires()
        self._layout.moving(side)
        dead.collect(work, side, self._names, self._keeper)
        self._layout.discover(side, ())
        self._inbox.hand_out(None)
        shares = self._shares(queues, most)
        if not shares:
            return self._draw_delayed(queues, most)
        with self._drawing.taken(shares) as taken:
            self._hand_over(taken.messages)
        return True

    def _shares(self, queues: Sequence[str] | None, most: int) -> dict[Lane, int]:
        shares: dict[Lane, int] = {}
        lanes = [lane for lane in self._lanes if queues is None or lane.queue in queues]
        for lane, count in self._drawing.waiting(lanes, most).items():
            if most > 0:
                shares[lane] = min(count, most)
                most -= count
        return shares

    def _draw_delayed(self, queues: Sequence[str] | None, most: int) -> bool:
        """Messages that wait for their time stand in no one queue."""
        levels = self._layout.all_levels(self._wires()[1])
        fits = (lambda _: True) if queues is None else (lambda one: one.queue in queues)
        return self._drawing.sift(levels, fits, self._hand_over, most, chunk=most) > 0

    def _hand_over(self, drawn: Sequence[Drawn]) -> None:
        """Store jobs in the backend, but for those that have left it before."""
        backend, now = self._keeper.open(), time.time()
        inspector, transfer = backend.inspector(), backend.transfer()
        jobs = [
            _leaving(one.message, now)
            for one in drawn
            if not (one.redelivered or one.message.due) or inspector.moved_to(one.message.id) is None
        ]
        if drawn:
            self._seen_at = time.monotonic()
        if jobs:
            self._keeper.make_way([one.message.id for one in drawn if one.redelivered or one.message.due])
            shipment = Shipment(os.urandom(16), tuple(jobs))
            transfer.receive(shipment)
            # Nobody tries to have it arrive again: these jobs come again as messages, if at all.
            transfer.settle([shipment.id])

    def forget(self, ids: Sequence[bytes]) -> None:
        """Delete the results of these jobs that nobody writes any more."""
        with suppress(StoreUnavailable):
            self._keeper.make_way(ids)

    def waiting(self, queues: Sequence[str] | None) -> tuple[int, int]:
        """How many messages wait, and how many jobs are run that may be messages; those that are delayed are counted where no queues are named."""
        self._lanes = self._drawing.all_lanes()
        side = self._wires()[1]
        names = [self._names.lane(lane) for lane in self._lanes if queues is None or lane.queue in queues]
        if queues is None:
            names += [self._names.lane(level) for level in self._layout.all_levels(side)]
        count = sum(side.counts([*names, self._names.dropped])) + self._inbox.waiting()
        now = time.monotonic()
        if count:
            self._seen_at = now
        workers = [
            worker
            for worker in self._keeper.open().inspector().workers()
            if worker.silent_for < _SILENT and (queues is None or not set(queues).isdisjoint(worker.queues))
        ]
        running = sum(len(worker.jobs) for worker in workers)
        if running:
            self._seen_at = now
        may = now - self._seen_at < (_BEAT if workers else _QUIET)
        return count, max(running, int(may))

    def queues(self) -> list[str]:
        """The queues of the backend that jobs are in which are to leave."""
        return [one.queue for one in self._keeper.open().inspector().count() if one.queue.startswith(LEAVING)]

    def elsewhere(self, messages: Sequence[Message]) -> set[bytes]:
        """The ids of those messages that are not to be run, as the backend has the jobs or let them leave.

        Parameters:
            messages: that were delivered before, or delayed.
        """
        if not messages or not self._layout.moved(self._wires()[1]):
            return set()
        inspector = self._keeper.open().inspector()
        ids = tuple(message.id for message in messages)
        records = {one.id: one for one in inspector.list(Selection(ids=ids), limit=len(ids))}
        gone: set[bytes] = set()
        for id in ids:
            record = records.get(id)
            if record is None:
                if inspector.moved_to(id) is not None:
                    gone.add(id)
            elif record.queue.startswith(LEAVING):
                if inspector.delete(Selection(ids=(id,), queue=record.queue)) == 0:
                    gone.add(id)
            elif record.task != RESULT:
                gone.add(id)
        return gone


def _leaving(message: Message, now: float) -> MovedJob:
    due = now + message.rest if message.rest else message.due
    return MovedJob(
        message.id, message.task, message.payload, State.DELAYED if due > now else State.READY,
        # The id was made together with the job, and tells when.
        int.from_bytes(message.id[:6], "big") / 1000,
        LEAVING + message.queue, message.priority, message.options, message.attempt, message.crashes,
        items=message.items, packed=message.packed, item=message.item, run_at=due if due > now else None,
    )  # fmt: skip


def arriving(job: MovedJob) -> MovedJob:
    """The job as it is on its way: of its own queue again."""
    return replace(job, queue=job.queue.removeprefix(LEAVING))
