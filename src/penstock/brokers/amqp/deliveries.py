"""Taking messages as leases: as many as are asked for, and none that would lie here unasked.

A consumer may have unacknowledged as many messages as it was made for. It stands as long as that is what was taken: then the
next acknowledgement brings the next helping. Where another number is asked for, another takes its place; where fewer came, it is cancelled, so that
what comes meanwhile goes to who is idle. A process that is idle stands by: a consumer of each lane may be sent one message.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from penstock.brokers.amqp.link import Link, pika
from penstock.brokers.amqp.names import Lane, Names
from penstock.brokers.amqp.wire import Wire
from penstock.core.job import Holder

#: Seconds after which messages are counted anew, when none comes: somebody else may have them.
_LATE = 0.02
#: Seconds after which it is given up whatever is counted: a queue between two leaders, say, delivers nothing.
_LOST = 1.0


class Delivery(NamedTuple):
    """A message as it came: under which tag, who got it, whether somebody had it before, what it says, by which key it was sent, and the
    id that it has where it is no job. The last two are bytes where they are not in UTF-8.
    """

    tag: int
    consumer: str
    redelivered: bool
    body: bytes
    key: str | bytes
    id: str | bytes | None


class _Consumer:
    def __init__(self, lane: Lane, tag: str, room: int, *, stands_by: bool) -> None:
        self.lane = lane
        self.tag = tag
        self.stands_by = stands_by
        #: Messages that the server may send it yet.
        self.room = room
        #: Messages that came by it and have not ended.
        self.unended = 0
        self.alive = True
        #: What the server said to it.
        self.answers: list[object] = []


class Deliveries:
    """The consumers of one channel, and what was delivered by it and has not ended.

    Parameters:
        link: the connection.
        names: of the namespace.
        wire: the channel.
        gone: called when the server has cancelled a consumer, because its queue was deleted say.
    """

    def __init__(self, link: Link, names: Names, wire: Wire, gone: Callable[[], None]) -> None:
        self._link = link
        self._gone = gone
        self._prefetch = 0
        self._names = names
        self._channel = wire.channel
        self._came: list[Delivery] = []
        self._consumers: dict[Lane, _Consumer] = {}
        self._by_tag: dict[str, _Consumer] = {}
        self._numbers = itertools.count(1)
        #: The number of the last claim.
        self.last_claim = 0
        #: What has not ended: the tag of a delivery by the number of its claim, older ones first.
        self.held: dict[int, int] = {}
        self._owner: dict[int, tuple[str, Holder]] = {}
        #: How many messages went back to each lane since it was last taken from. The server does not say when they are there, and a count may come
        #: before they are (16 of 1,000 times on a busy machine). What a consumer asks for comes after it.
        self.returned = Counter[Lane]()
        self._channel.add_on_cancel_callback(self._cancelled)

    @property
    def standing(self) -> Mapping[Lane, int]:
        """The lanes of which consumers stand, and how many messages each would be sent."""
        return {lane: consumer.room for lane, consumer in self._consumers.items() if consumer.alive}

    def freed_by(self, claims: Sequence[int]) -> dict[Lane, int]:
        """How many messages each standing consumer will be sent when these claims end."""
        freed = dict(self.standing)
        for claim in claims:
            consumer = self._by_tag.get(self._owner[claim][0]) if claim in self._owner else None
            if consumer is not None and consumer.alive:
                freed[consumer.lane] += 1
        return freed

    @property
    def arrived(self) -> bool:
        """Has anything come that is not taken yet?"""
        return bool(self._came)

    def stand_by(self, lanes: Iterable[Lane]) -> None:
        """Have one message of each lane sent as soon as there is any, to a process that waits for it."""
        new = []
        for lane in lanes:
            consumer = self._consumers.get(lane)
            if consumer is not None and consumer.stands_by and consumer.room:
                continue
            if consumer is not None:
                self._cancel(lane)
            new.append(self._consume(lane, 1, stands_by=True))
            del self.returned[lane]
        # The server's channel falls over where it reads that a consumer ends before it has said that it stands.
        for consumer in new:
            self._await(consumer)

    def stands_by(self, lanes: Sequence[Lane], ending: Sequence[int] = ()) -> bool:
        """Does the first message of any of these lanes come by itself, when these claims end at the latest?"""
        consumers = [self._consumers.get(lane) for lane in lanes]
        # A busy process has none that does, and what it is about to end is not gone through for that.
        if not consumers or not all(consumer is not None and consumer.stands_by for consumer in consumers):
            return False
        room = self.freed_by(ending)
        return all(room.get(lane) for lane in lanes)

    def helping(self, lane: Lane, ending: Sequence[int]) -> int:
        """How many messages the consumer of a lane will be sent when these claims end; none where it only stands by."""
        consumer = self._consumers.get(lane)
        return 0 if consumer is None or consumer.stands_by else self.freed_by(ending).get(lane, 0)

    def stood(self, limit: int, holder: Holder) -> list[tuple[int, Delivery]]:
        """Take what came while this process stood by, which it does no longer."""
        self._stop_the_unfilled()
        return self._claimed(limit, holder)

    def plan(self, shares: Mapping[Lane, int], ending: Sequence[int], *, idle: bool = False) -> bool:
        """Cancel every consumer that would be sent another number than is wanted, before what is ending makes room for it.

        Parameters:
            idle: leave those that stand by.

        Returns:
            Whether the server may have sent something to any of them: it goes back when that is read.
        """
        open_before = bool(self._came)
        if self._came:
            # Nobody asked for it: what comes here unasked would wait here for long.
            self._send_back()
        for lane, room in self.freed_by(ending).items():
            consumer = self._consumers[lane]
            if idle and consumer.stands_by and lane not in shares:
                continue
            if shares.get(lane, 0) != room or not room:
                open_before |= consumer.room > 0
                self._cancel(lane)
        return open_before

    def end(self, claims: Sequence[int]) -> None:
        """Acknowledge: these jobs are done with."""
        ended = set(claims)
        prefix: int | None = None
        for claim, tag in self.held.items():
            if claim not in ended:
                break
            prefix = tag
        if prefix is not None:
            self._channel.basic_ack(prefix, multiple=True)
        for claim in claims:
            tag = self._forget(claim)
            if prefix is None or tag > prefix:
                self._channel.basic_ack(tag)

    def give_back(self, claims: Sequence[int]) -> None:
        """Return messages to where they were: before those that wait, and among themselves in the order in which they return."""
        for claim in sorted(claims):
            self.returned[self._by_tag[self._owner[claim][0]].lane] += 1
            self._channel.basic_nack(self._forget(claim), requeue=True)

    def settle(self) -> None:
        """Return when the server has read what was acknowledged: it would wait here for the next call otherwise."""
        answers: list[object] = []
        self._channel.basic_qos(prefetch_count=self._prefetch, callback=answers.append)
        self._link.wait(lambda: answers)

    def _forget(self, claim: int) -> int:
        self._returned(self._owner.pop(claim)[0])
        return self.held.pop(claim)

    def _returned(self, tag: str) -> None:
        """A message that came by this consumer is acknowledged or sent back."""
        consumer = self._by_tag[tag]
        consumer.room += 1
        consumer.unended -= 1
        self._let_go(consumer)

    def _let_go(self, consumer: _Consumer) -> None:
        """Forget a consumer that is of no more use: a process has a new one with every other helping."""
        if not consumer.alive and not consumer.unended:
            self._by_tag.pop(consumer.tag, None)

    def of(self, holder: Holder) -> list[int]:
        """The claims of one process that have not ended."""
        return [claim for claim, (_, owner) in self._owner.items() if owner == holder]

    def take(
        self, shares: Mapping[Lane, int], holder: Holder, count: Callable[[Sequence[Lane]], list[int]]
    ) -> list[tuple[int, Delivery]]:
        """Take so many messages from each lane, or as many as there are; each with the number of its claim.

        Parameters:
            holder: who takes them.
            count: how many wait in each of some lanes.
        """
        try:
            for lane, share in shares.items():
                del self.returned[lane]
                if lane not in self._consumers:
                    self._await(self._consume(lane, share))
            self._collect(sum(shares.values()), list(shares), count)
        except BaseException:
            self._send_back()
            raise
        self._stop_the_unfilled()
        return self._claimed(sum(shares.values()), holder)

    def _claimed(self, limit: int, holder: Holder) -> list[tuple[int, Delivery]]:
        taken = []
        came, self._came = self._came[:limit], self._came[limit:]
        if self._came:
            self._send_back()
            self.settle()
        for delivery in came:
            claim = self.last_claim = max(self.last_claim + 1, time.time_ns())
            self.held[claim], self._owner[claim] = delivery.tag, (delivery.consumer, holder)
            taken.append((claim, delivery))
        return taken

    def _stop_the_unfilled(self) -> None:
        """Have the server send nothing more that was asked for and did not come: whoever asked may be about to run a job for an hour."""
        unfilled = [self._consumers.pop(lane) for lane, consumer in list(self._consumers.items()) if consumer.room]
        if not unfilled:
            return
        for consumer in unfilled:
            # By the client's own call it would return what is on its way, and nobody who is idle would hear of that.
            self._channel._send_method(pika.spec.Basic.Cancel(consumer_tag=consumer.tag, nowait=True))
        # What is said is sent with the next wait only; by its answer, all that was on its way is here, and taken.
        self.settle()
        for consumer in unfilled:
            self._stop(consumer)

    def _send_back(self) -> None:
        """Return what came for nobody, unless the channel is gone, and it with it."""
        came, self._came = self._came, []
        if self._channel.is_open:
            for lane in list(self._consumers):
                self._cancel(lane)
            for delivery in came:
                self._channel.basic_nack(delivery.tag, requeue=True)
        for delivery in came:
            self.returned[self.lane_of(delivery)] += 1
            self._returned(delivery.consumer)

    def lane_of(self, delivery: Delivery) -> Lane:
        """Where a message came from."""
        return self._by_tag[delivery.consumer].lane

    def _collect(self, wanted: int, lanes: Sequence[Lane], count: Callable[[Sequence[Lane]], list[int]]) -> None:
        came, turn = self._came, self._link.turn
        seen, moment = 0, time.monotonic()
        while not turn(lambda: len(came) >= wanted, _LATE):
            if any(lane not in self._consumers for lane in lanes):
                return
            if len(came) > seen:
                seen, moment = len(came), time.monotonic()
            elif time.monotonic() - moment > _LOST or not any(count(lanes)):
                return

    def _consume(self, lane: Lane, room: int, *, stands_by: bool = False) -> _Consumer:
        # Each is sent the limit that was set last: it holds for consumers from then on, and for each by itself.
        tag = f"{next(self._numbers)}"
        consumer = self._consumers[lane] = self._by_tag[tag] = _Consumer(lane, tag, room, stands_by=stands_by)
        if room != self._prefetch:
            self._channel.basic_qos(prefetch_count=min(room, 65_535), callback=lambda _: None)
            self._prefetch = room
        self._channel.basic_consume(
            self._names.lane(lane), self._deliver, consumer_tag=tag, callback=consumer.answers.append
        )
        return consumer

    def _await(self, consumer: _Consumer) -> None:
        self._link.wait(lambda: consumer.answers or not consumer.alive)

    def _cancel(self, lane: Lane) -> None:
        self._stop(self._consumers.pop(lane))

    def _stop(self, consumer: _Consumer) -> None:
        if consumer.alive:
            # Unless its answer is wanted, the client keeps the name for ever.
            self._channel.basic_cancel(consumer.tag, callback=lambda _: None)
            consumer.alive = False
        self._let_go(consumer)

    def _deliver(self, _channel: object, method: Any, properties: Any, body: bytes) -> None:
        consumer = self._by_tag[method.consumer_tag]
        consumer.room -= 1
        consumer.unended += 1
        self._came.append(
            Delivery(
                method.delivery_tag,
                method.consumer_tag,
                method.redelivered,
                body,
                method.routing_key,
                properties.message_id,
            )
        )

    def _cancelled(self, frame: Any) -> None:
        """The server cancels a consumer: its queue was deleted, or has lost its leader."""
        consumer = self._by_tag.get(frame.method.consumer_tag)
        if consumer is not None:
            consumer.alive = False
            if self._consumers.get(consumer.lane) is consumer:
                del self._consumers[consumer.lane]
            self._let_go(consumer)
            self._gone()
