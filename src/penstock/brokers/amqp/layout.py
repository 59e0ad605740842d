"""What is declared in RabbitMQ, when it is first needed: a queue for each lane, and levels of queues where jobs wait for their time.

A level holds every message that comes to it for the same time, 10 ms doubled as often as its number says, so that none of
them stands behind one that is to stay longer. A delay is written in binary digits in front of the key: the exchange of a level routes a message to
the level's queue where its digit is 1, from where it is dead-lettered to the next exchange when it expires, and else to the next exchange at once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from penstock.brokers.amqp.frames import Post
from penstock.brokers.amqp.message import Message, encode, later
from penstock.brokers.amqp.names import Lane, Names
from penstock.brokers.amqp.wire import JOB, PASSING, Wire
from penstock.core.job import PRIORITIES

#: Seconds of the shortest delay.
UNIT = 0.01
DIGITS = 28
#: Seconds of the longest, about 31 days; what is to wait longer goes round again.
LONGEST = UNIT * ((1 << DIGITS) - 1)
#: Deliveries after which a queue gives a message up, and passes it on to where dead letters are made of such.
DELIVERIES = 1000
_QUORUM = {"x-queue-type": "quorum"}
#: Seconds in which every process that has nothing to do has looked for lanes that are new to it: it does so about once a second.
_FRESH = 3.0
#: Milliseconds that a job may run, from RabbitMQ 3.12 on, before it is given to another: a month. Workers see to it that jobs end.
_TIMEOUT = 30 * 86_400_000
#: Milliseconds after which a queue goes by itself that stands guard, if whoever declared it was killed.
_GUARD = 60_000
#: Nothing is given up that is only looked at: without a limit of their own, queues have one from RabbitMQ 4 on.
_LOOKED_AT = {**_QUORUM, "x-delivery-limit": 1 << 30}
#: The key by which it is known that jobs were moved away from here: a lane's has a ~ in it.
_MOVED = "moved"
#: The key by which it is known that events of other programs are taken.
_EVENTS = "events"
#: The key by which it is known that what every queue needs is there.
_BASE = "base"


class Layout:
    """What this connection knows to be declared.

    Parameters:
        names: of the namespace.
    """

    def __init__(self, names: Names) -> None:
        self._names = names
        self._declared: set[Lane] = set()
        self._reached: set[Lane] = set()
        self._levels = 0
        self._moved = self._doubted = False
        self._fresh_until = 0.0
        #: Is there known to be a way for events of other programs?
        self.takes_events = False
        self._leads_out = False

    @property
    def is_fresh(self) -> bool:
        """Has this connection met a lane so lately that a worker may not know of it yet?"""
        return time.monotonic() < self._fresh_until

    def forget(self) -> None:
        """It may all be gone: the connection was lost, or a queue deleted."""
        self._declared, self._reached, self._levels = set(), set(), 0
        self.takes_events = self._leads_out = False

    def doubt(self) -> None:
        """A queue was deleted that is known to be there: it will be new."""
        self.forget()
        self._doubted = True

    def lanes(self, queue: str) -> list[Lane]:
        """The lanes of a queue that are known to be there, higher priorities first."""
        return sorted((lane for lane in self._declared if lane.queue == queue), key=lambda lane: -lane.priority)

    def base(self, wire: Wire) -> None:
        """Declare what every queue needs."""
        if wire.is_silent:
            return
        names = self._names
        wire.exchange(names.bell, "fanout")
        wire.exchange(names.known, "direct")
        wire.exchange(names.dropped, "fanout")
        # It routes what was declared, and keeps nothing of what comes; a classic queue would be away with its node, and all lanes with it.
        wire.queue(names.known, {**_QUORUM, "x-max-length": 0})
        wire.queue(names.dropped, _QUORUM)
        wire.queue(names.lanes, _LOOKED_AT)
        wire.bind(names.dropped, names.dropped, "")
        if self._write_down(wire, [_BASE]):
            wire.bind(names.known, names.known, _BASE)

    def ensure(self, wire: Wire, lanes: Iterable[Lane]) -> None:
        """Declare lanes that this connection has not seen yet."""
        missing = set(lanes) - self._declared
        if not missing:
            return
        self._fresh_until = time.monotonic() + _FRESH
        perhaps_new: list[Lane] = []
        for lane in missing:
            if lane.priority not in PRIORITIES:
                raise ValueError(f"a priority is 0 to 9, not {lane.priority}")
            if wire.queue(self._names.lane(lane), self._taken_from()):
                perhaps_new.append(lane)
        if wire.is_silent:
            # The rest is done when it is declared anew: all is forgotten by then.
            self._declared |= missing
            return
        new = self._write_down(wire, [lane.key for lane in perhaps_new])
        # RabbitMQ itself lists no queues.
        wire.publish(
            [Post("", self._names.lanes, msgspec.msgpack.encode(lane), JOB) for lane in perhaps_new if lane.key in new]
        )
        for lane in missing:
            wire.bind(self._names.known, self._names.known, lane.key)
            self._declared.add(lane)

    def _taken_from(self) -> dict[str, Any]:
        """The arguments of a queue that workers take from: nothing in it is ever dropped."""
        return {
            **_QUORUM, "x-delivery-limit": DELIVERIES, "x-dead-letter-exchange": self._names.dropped,
            "x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish", "x-consumer-timeout": _TIMEOUT,
        }  # fmt: skip

    def take_events(self, wire: Wire) -> None:
        """Have a way for events of other programs, of which whoever listens hears."""
        if self.takes_events:
            return
        names = self._names
        wire.exchange(names.topics, "topic")
        self.lead_out(wire)
        wire.chain(names.published, names.topics, "#")
        wire.queue(names.events, self._taken_from())
        wire.bind(names.events, names.topics, "#")
        wire.chain(names.bell, names.topics, "#")
        if self._write_down(wire, [_EVENTS]):
            wire.bind(names.known, names.known, _EVENTS)
        self.takes_events = True

    def lead_out(self, wire: Wire) -> None:
        """Have a place where every event comes by."""
        if not self._leads_out:
            wire.exchange(self._names.published, "topic")
            self._leads_out = True

    def _write_down(self, wire: Wire, keys: Sequence[str]) -> set[str]:
        """Have what was declared survive a kill, before it is known by these keys; returns those that it was not known by."""
        new = set(keys) - self._known(wire, keys)
        if new or (keys and self._doubted):
            self._guard(wire)
            self._doubted = False
        return new

    def _guard(self, wire: Wire) -> None:
        """Have the server write down the quorum queues that were declared until now.

        Before 4.0 it keeps the name by which it finds a queue's messages in memory, for some seconds: killed by then, it has the queue again and none of
        what it had confirmed. Looking for the name of one more queue, it writes down those before it.
        """
        name = self._names.guard()
        wire.queue(name, {**_QUORUM, "x-expires": _GUARD})
        wire.delete(name)

    def discover(self, wire: Wire, queues: Sequence[str]) -> None:
        """Learn which lanes of these queues others have declared, and whether there is a way for events."""
        if wire.is_silent:
            return
        unknown = [
            lane for queue in queues for lane in (Lane(queue, p) for p in PRIORITIES) if lane not in self._declared
        ]
        keys = [lane.key for lane in unknown] + [_EVENTS] * (not self.takes_events)
        if keys:
            known = self._known(wire, keys)
            if _EVENTS in known:
                self.take_events(wire)
            # Declared again: one that was deleted since is still known, and would be missed by all who ask for it.
            self.ensure(wire, [lane for lane in unknown if lane.key in known])

    def _known(self, wire: Wire, keys: Sequence[str]) -> set[str]:
        """Which of these keys are bound."""
        returned = wire.publish([Post(self._names.known, key, b"", PASSING) for key in keys])
        return set(keys) - {key for _, key in returned}

    def all_lanes(self, wire: Wire) -> list[Lane]:
        """Declare every lane that there ever was, and return them; `StoreUnavailable` while another connection asks.

        One at a time, since the words about them are read by taking them and giving them back.
        """
        names = self._names
        wire.ask(lambda done: wire.channel.queue_declare(names.reading, exclusive=True, callback=done))
        try:
            lanes = [Lane(*msgspec.msgpack.decode(body, type=tuple[str, int])) for body in wire.look(names.lanes)]
        finally:
            if wire.reason is None:
                wire.ask(lambda done: wire.channel.queue_delete(names.reading, callback=done))
        self.ensure(wire, lanes)
        return sorted(set(lanes), key=lambda lane: (lane.queue, -lane.priority))

    def all_levels(self, wire: Wire) -> list[Lane]:
        """Every level that there is, shorter delays first."""
        known = self._known(wire, [_level(digit) for digit in range(DIGITS)])
        count = next((digit + 1 for digit in reversed(range(DIGITS)) if _level(digit) in known), 0)
        self._ensure_levels(wire, count)
        return [Lane("", digit) for digit in range(count)]

    def moving(self, wire: Wire) -> None:
        """Have all know that jobs are moved away from here."""
        if not self._moved:
            wire.bind(self._names.known, self._names.known, _MOVED)
            self._moved = True

    def moved(self, wire: Wire) -> bool:
        """Were jobs moved away from here, or are being moved? Where it can't be asked for now, they may have been."""
        if wire.is_silent:
            return True
        self._moved = self._moved or bool(self._known(wire, [_MOVED]))
        return self._moved

    def post(self, wire: Wire, message: Message, delay: float = 0.0) -> Post:
        """A message on its way to its lane, at once or after so many seconds."""
        lane = message.lane
        if delay <= 0:
            return Post("", self._names.lane(lane), encode(message), JOB)
        rest = max(0.0, delay - LONGEST)
        units = min(math.ceil(min(delay, LONGEST) / UNIT), (1 << DIGITS) - 1)
        self._ensure_levels(wire, units.bit_length())
        self._reach(wire, lane)
        digits = ".".join(f"{units:0{DIGITS}b}")
        return Post(
            self._names.level(units.bit_length() - 1),
            f"{digits}.{lane.key}",
            encode(later(message, rest, time.time() + delay)),
            JOB,
        )

    def _reach(self, wire: Wire, lane: Lane) -> None:
        if lane not in self._reached:
            wire.bind(self._names.lane(lane), self._names.due, f"{'*.' * DIGITS}{lane.key}")
            self._reached.add(lane)

    def _ensure_levels(self, wire: Wire, count: int) -> None:
        """Declare the levels of so many digits."""
        names = self._names
        if not self._levels and count:
            wire.exchange(names.due, "topic")
            # Whoever listens hears of what falls due.
            wire.chain(names.bell, names.due, "#")
        digits = range(self._levels, count)
        for digit in digits:
            level, following = names.level(digit), names.level(digit - 1) if digit else names.due
            before = "*." * (DIGITS - 1 - digit)
            arguments: dict[str, Any] = {
                **_LOOKED_AT, "x-message-ttl": round(UNIT * 1000) << digit, "x-dead-letter-exchange": following,
                "x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish",
            }  # fmt: skip
            wire.exchange(level, "topic")
            wire.queue(level, arguments)
            wire.bind(level, level, f"{before}1.#")
            wire.chain(following, level, f"{before}0.#")
        for key in self._write_down(wire, [_level(digit) for digit in digits]):
            wire.bind(names.known, names.known, key)
        self._levels = max(self._levels, count)


def _level(digit: int) -> str:
    """The key by which a level is known."""
    return f"level.{digit}"
