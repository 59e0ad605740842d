"""Messages that become dead letters without having run: what is no job, and what a queue gave up delivering."""

from __future__ import annotations

import hashlib

from penstock.brokers.amqp.deliveries import Delivery
from penstock.brokers.amqp.keeper import Keeper
from penstock.brokers.amqp.message import Message, decode, lease_of
from penstock.brokers.amqp.names import Lane, Names
from penstock.brokers.amqp.wire import Wire
from penstock.core.job import Failure
from penstock.core.outcome import Ending, Outcome
from penstock.errors import PayloadError


def read(delivery: Delivery, lane: Lane, keeper: Keeper) -> Message | None:
    """What a message says; one that says nothing becomes a dead letter, and is to be acknowledged."""
    try:
        return decode(delivery.body)
    except PayloadError as error:
        bury(delivery.body, lane, Failure("PayloadError", str(error)), keeper)
        return None


def collect(work: Wire, side: Wire, names: Names, keeper: Keeper) -> None:
    """Make dead letters of what the queues gave up delivering."""
    for _ in range(side.counts([names.dropped])[0]):
        found = work.get(names.dropped)
        if found is None:
            return
        tag, headers, body = found
        died = (headers or {}).get("x-death") or [{}]
        why = str(died[0].get("reason", "rejected"))
        said = f"RabbitMQ gave it up ({why}): it was delivered too often and never ended, so what ran it may have died each time"
        bury(body, Lane("default", 5), Failure("Dropped", said), keeper)
        work.channel.basic_ack(tag)


def bury(body: bytes, lane: Lane, failure: Failure, keeper: Keeper) -> None:
    """Make a dead letter of a message; the same one is the same dead letter, should it come twice.

    Parameters:
        lane: of a message that does not say its own.
    """
    try:
        message = decode(body)
    except PayloadError:
        message = Message(hashlib.sha256(body).digest()[:16], "penstock.unreadable", body, lane.queue, lane.priority)
    keeper.take_over([Outcome(lease_of(message, 0, 0), Ending.DEAD, failure=failure, crashes=0)], None)
