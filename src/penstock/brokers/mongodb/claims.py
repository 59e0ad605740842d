"""Taking jobs: the head of a queue is read, one update marks those still there, and where that was not all of them, they are read again.

A claim's number is the server's time with some chance in it, which costs no question: a job is never taken twice by the
same number, even if it was ended and stored anew in between.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Sequence

import pymongo

from penstock.brokers.mongodb.documents import HAD, RING, lease, to_its_place
from penstock.brokers.mongodb.gates import Gates
from penstock.brokers.mongodb.layout import Layout
from penstock.brokers.mongodb.order import Order
from penstock.core.job import Holder, Lease
from penstock.core.prefetch import LARGEST
from penstock.core.states import State
from penstock.stores.mongodb import Document
from penstock.stores.mongodb_clock import ServerClock

#: How far from the head a claim may go to get out of others' way, in times of its own limit. Two that update the same
#: documents wait for each other at every single one of them.
_FARTHEST = 8
#: One claim in so many goes to the head, so that nothing is left lying there.
_BACK_TO_THE_HEAD = 4
_STAYS = 0.95
#: How often a claim looks for other lines, where all that it found were held by others.
_TRIES = 3
#: Seconds after which an update is given up by the server as well as by us, so that it does not go on unheard.
_LONGEST = 30.0
#: Seconds between two times that what was taken unheard is given back.
_AGAIN = 1.0
#: 2020, from which microseconds have room in a claim number for as long as anybody cares, and the bits of chance in it.
_EPOCH = 1_577_836_800.0
_CHANCE = 10
#: What a lease has no use for.
_LEFT_OUT = {
    "failure": 0,
    "created": 0,
    "state": 0,
    "unique": 0,
    "worker": 0,
    "since": 0,
    "cancelled": 0,
    RING: 0,
}


class Claims:
    """The claims of one connection."""

    def __init__(self, layout: Layout, clock: ServerClock, gates: Gates, order: Order) -> None:
        self._layout = layout
        self._clock = clock
        self._gates = gates
        self._order = order
        self._latest = 0
        self._turn = 0
        self._lane = 0
        #: Jobs at the head that others are about to take.
        self._theirs = 0
        #: Claims whose end was not heard of: what they took is held in our name, and nobody runs it.
        self._unheard: list[tuple[Holder, int]] = []
        #: Those that were given back, and until when. A server may begin an update after the connection is cut by which it came, and after it was given back.
        self._late: deque[tuple[float, Holder, int]] = deque()
        self._again_at = 0.0

    def take(self, queues: Sequence[str], limit: int, holder: Holder, now: float) -> list[Lease]:
        """Take the heads of the queues; the queue that comes first changes from call to call."""
        self.give_back_unheard()
        self._order.settle()
        taken = self._taken(queues, limit, holder, now)
        # Of a queue that failed after another, nobody hears what was taken from that one either.
        self._unheard.clear()
        return taken

    def _taken(self, queues: Sequence[str], limit: int, holder: Holder, now: float) -> list[Lease]:
        taken: list[Lease] = []
        self._turn += 1
        start = self._turn % len(queues) if queues else 0
        turned = (*queues[start:], *queues[:start])
        if self._gates.may_limit():
            found = self._gates.claim(turned, limit, now, lambda name, most: self._take_any(name, most, holder))
            if found is not None:
                return found
        for queue in turned:
            if limit <= len(taken):
                break
            taken += self._take_any(queue, limit - len(taken), holder)
        return taken

    def go_around(self, others: int) -> None:
        """The next claim leaves to so many others what they may take at once."""
        self._theirs = min(others, _FARTHEST) * LARGEST

    def give_back_unheard(self) -> None:
        """Make ready again what was taken in our name without our hearing of it."""
        moment = time.monotonic()
        while self._unheard:
            self._give_back(*self._unheard[0])
            self._late.append((moment + _LONGEST, *self._unheard.pop(0)))
        if self._late and moment >= self._again_at:
            self._again_at = moment + _AGAIN
            for _, holder, claim in self._late:
                self._give_back(holder, claim)
            while self._late and self._late[0][0] < moment:
                self._late.popleft()

    def _give_back(self, holder: Holder, claim: int) -> None:
        held = {"worker": holder.worker, "process": holder.process, "claim": claim}
        self._layout.jobs.update_many(held, to_its_place(), hint="held")
        self._order.forget(claim)

    def _take_any(self, name: str, limit: int, holder: Holder) -> list[Lease]:
        """Take from a queue, or from a line of it; the queue's jobs and those that keep an order take turns to be first."""
        if name.startswith(",") or not self._order.may_keep():
            return self._take_of(name, limit, holder)
        ways = [self._take_of, self._take_in_order]
        taken: list[Lease] = []
        for take in ways if self._turn % 4 < _BACK_TO_THE_HEAD // 2 else ways[::-1]:
            if len(taken) < limit:
                taken += take(name, limit - len(taken), holder)
        return taken

    def _take_in_order(self, queue: str, limit: int, holder: Holder) -> list[Lease]:
        """Take the heads of a queue's lines, while nobody else holds them."""
        for _ in range(_TRIES):
            runs = self._order.runs(queue, limit)
            if not runs:
                break
            claim = self._next_claim()
            self._unheard.append((holder, claim))
            names = self._order.hold([name for name, _ in runs], claim, holder, self._clock.now())
            chosen = self._order.heads(names, limit)
            ids = [id for some in chosen.values() for id in some]
            found = self._order.keep(self._mark(ids, claim, holder) if ids else [], chosen, names, claim)
            # Others may have been quicker with all that was looked at, and there may be more.
            if found or len(names) == len(runs):
                return found
        return []

    def _take_of(self, queue: str, limit: int, holder: Holder) -> list[Lease]:
        while True:
            head = self._head(queue, limit)
            if not head:
                return []
            claim = self._next_claim()
            self._unheard.append((holder, claim))
            found = self._mark([one["_id"] for one in head], claim, holder, head)
            self._lane = self._next_lane(lost=len(found) * 2 < len(head))
            # One that got nothing must look again, or it would tell its process that there is no work.
            if found:
                return found

    def _next_claim(self) -> int:
        moment = int((self._clock.now() - _EPOCH) * 1e6) << _CHANCE | random.getrandbits(_CHANCE)
        # That clock may be set back, but within a connection the numbers only grow.
        self._latest = max(moment, self._latest + 1)
        return self._latest

    def _next_lane(self, *, lost: bool) -> int:
        """Whoever lost most of a race goes elsewhere, and comes back after a while."""
        if lost:
            return random.randint(1, min(_FARTHEST, 2 * self._lane + 1))
        return self._lane if random.random() < _STAYS else 0

    def _head(self, queue: str, limit: int) -> list[Document]:
        """The jobs that come next, or some a little behind them while others take those."""
        if queue.startswith(","):
            # A line is claimed from by one at a time, and in order.
            return self._ready(queue, limit, 0)
        theirs, self._theirs = self._theirs, 0
        if theirs:
            return self._ready(queue, limit, theirs) or self._ready(queue, limit, 0)
        lane = self._lane if random.randrange(_BACK_TO_THE_HEAD) else 0
        head = self._ready(queue, limit, lane * limit)
        if lane and len(head) < limit:
            self._lane = 0
            head = self._ready(queue, limit, 0)
        return head

    # In one answer each: a cursor's first holds 101 documents unless told otherwise.

    def _ready(self, queue: str, limit: int, skip: int) -> list[Document]:
        ready = self._layout.jobs.find({"queue": queue, "place": {"$gte": 0}}, _LEFT_OUT).hint("ready")
        return list(ready.sort([("place", 1), ("_id", 1)]).skip(skip).limit(limit).batch_size(limit + 1))

    def _mark(self, ids: list[bytes], claim: int, holder: Holder, read: Sequence[Document] = ()) -> list[Lease]:
        """Take those jobs that are still ready.

        Parameters:
            read: the same jobs as they were read before, if they were.
        """
        mine = {"worker": holder.worker, "process": holder.process, "claim": claim}
        running = {"state": State.RUNNING.value, **mine}
        update = {"$set": running, "$unset": {"place": 1}}
        chosen: Document = {"_id": {"$in": ids}, "place": {"$gte": 0}}
        # A job that nobody has had is as it was stored. One that somebody took and gave back since it was read would be another.
        fresh = bool(read) and not any(HAD in one for one in read)
        if fresh:
            chosen[HAD] = None
        with pymongo.timeout(_LONGEST):
            marked = self._layout.jobs.update_many(chosen, update, hint="_id_").matched_count
        if not marked:
            return []
        if fresh and marked == len(ids):
            return [lease({**one, "claim": claim}) for one in read]
        found = self._layout.jobs.find({"_id": {"$in": ids}, **mine}, _LEFT_OUT).hint("_id_").batch_size(len(ids) + 1)
        return [lease(one) for one in sorted(found, key=lambda one: (one["home"], one["_id"]))]
