"""Events of programs that know nothing of Penstock: JSON, published to a topic exchange by any client of RabbitMQ.

They wait in one queue until a worker looks, which has the subscriptions of that moment and stores a job for each handler. An event is acknowledged when its
jobs are stored: whoever is killed between the two has them stored once more.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

import msgspec

from penstock.brokers.amqp import dead
from penstock.brokers.amqp.deliveries import Delivery
from penstock.brokers.amqp.drawing import Drawing, Wires
from penstock.brokers.amqp.keeper import Keeper
from penstock.brokers.amqp.layout import Layout
from penstock.brokers.amqp.names import EVENTS, Lane, Names
from penstock.core.ids import made_at, parse_id, uuid7
from penstock.core.job import DEFAULT_PRIORITY, DEFAULT_QUEUE, Failure, NewJob
from penstock.core.topics import Event, Router, check_topic, opened
from penstock.errors import PayloadError, PenstockError

#: Events that are handed out together, at most.
_AT_ONCE = 500
#: Bytes of an event, at most: every backend can store as much, as a dead letter say.
_LARGEST = 8 << 20
#: Bytes that are kept of what is larger.
_SHOWN = 1000


class Inbox:
    """The events that wait for their handlers to be found.

    Parameters:
        drawing: takes messages.
        wires: the channels.
        names: of the namespace.
        layout: what is declared.
        keeper: the backend, which has the subscriptions.
        enqueue: stores jobs.
    """

    def __init__(
        self,
        drawing: Drawing,
        wires: Wires,
        names: Names,
        layout: Layout,
        keeper: Keeper,
        enqueue: Callable[..., object],
    ) -> None:
        self._drawing = drawing
        self._wires = wires
        self._names = names
        self._layout = layout
        self._keeper = keeper
        self._enqueue = enqueue

    def open(self) -> None:
        """Have a way for events to come by, as there are subscriptions."""
        self._layout.take_events(self._wires()[1])

    def waiting(self) -> int:
        """How many events wait, if this connection knows of a way for them."""
        return self._wires()[1].counts([self._names.events])[0] if self._layout.takes_events else 0

    def hand_out(self, now: float | None) -> bool:
        """Store the jobs of some events; returns whether there may be more of them."""
        count = min(_AT_ONCE, self.waiting())
        if not count or self._wires()[1].is_silent:
            return False
        with self._drawing.delivered({EVENTS: count}, set()) as came:
            events = [event for _, delivery in came if (event := self._read(delivery)) is not None]
            jobs: Sequence[NewJob] = Router(self._keeper.open().subscriptions()).fan_out(events).jobs
            if jobs:
                self._enqueue(jobs, now=now)
        return count == _AT_ONCE

    def _read(self, delivery: Delivery) -> Event | None:
        """The event that was sent; what is none becomes a dead letter that says why."""
        try:
            topic = _topic(delivery.key)
            return Event(_id_of(delivery.id), topic, _payload(topic, delivery.body))
        except (PenstockError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            failure = Failure("PayloadError", f"what was published on {delivery.key!r} is no event in JSON: {error}")
            body = delivery.body if len(delivery.body) <= _LARGEST else delivery.body[:_SHOWN]
            dead.bury(body, Lane(DEFAULT_QUEUE, DEFAULT_PRIORITY), failure, self._keeper)
            return None


def _topic(key: str | bytes) -> str:
    if isinstance(key, bytes):
        raise PayloadError("its routing key is not in UTF-8")
    return check_topic(key)


def _payload(topic: str, body: bytes) -> bytes:
    """What the jobs of an event carry."""
    if len(body) > _LARGEST:
        raise PayloadError(f"it has {len(body):,} bytes, and may have {_LARGEST:,}")
    msgspec.json.decode(body)
    payload = msgspec.json.encode({"topic": topic, "event": msgspec.Raw(body)})
    if opened(payload) is None:
        raise PayloadError("it has a number that is too large, or is nested too deep")
    return payload


def _id_of(name: str | bytes | None) -> bytes:
    """The event's own id, if it was sent with one that Penstock could have made."""
    try:
        id = parse_id(str(name))
    except ValueError:
        id = b""
    return id if made_at(id) is not None else uuid7(int(time.time() * 1000), os.urandom(10))
