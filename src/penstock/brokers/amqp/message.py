"""A job as a message: what is written, and what it is a lease of when it is delivered."""

from __future__ import annotations

from math import isfinite
from typing import Annotated

import msgspec
from msgspec.structs import replace

from penstock.brokers.amqp.names import Lane
from penstock.core.job import PRIORITIES, Lease, NewJob
from penstock.core.outcome import Ending, Outcome
from penstock.core.packed import Number
from penstock.errors import PayloadError

#: The `key` of every lease that was delivered by RabbitMQ; those of the backend are its own numbers, which are never negative.
DELIVERED = -1


#: What every backend can store.
Id = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
Priority = Annotated[int, msgspec.Meta(ge=PRIORITIES[0], le=PRIORITIES[-1])]
Count = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]


class Message(msgspec.Struct, frozen=True, gc=False, array_like=True, omit_defaults=True):
    """The body of a message. `rest` is the seconds to wait after a delay that was longer than the longest there is; `due` is when
    one that was delayed is to run, in epoch seconds by the clock of who sent it.
    """

    id: Id
    task: str
    payload: bytes
    queue: str
    priority: Priority
    attempt: Count = 0
    crashes: Count = 0
    options: bytes | None = None
    items: Count = 1
    packed: bool = False
    item: Number | None = None
    rest: float = 0.0
    due: float = 0.0

    @property
    def lane(self) -> Lane:
        """Where it goes."""
        return Lane(self.queue, self.priority)


encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Message).decode
#: What msgspec raises for bytes that are none.
_UNFIT = (msgspec.MsgspecError, ValueError, RecursionError, OverflowError)


def decode(body: bytes) -> Message:
    """The message that bytes are; `PayloadError` where they are none: anybody who is let in may publish to a queue."""
    try:
        message = _decode(body)
    except _UNFIT as error:
        raise PayloadError(f"a message that is no job of Penstock's: {error}") from None
    if (message.rest or message.due) and not (isfinite(message.rest) and isfinite(message.due)):
        raise PayloadError("a message that is no job of Penstock's: it is to wait for no finite time")
    return message


def is_plain(job: NewJob) -> bool:
    """Can a job be a message? What else it asks for, a message can't do: then the backend has it."""
    return not (
        job.unique is not None
        or job.batch is not None
        or job.gate is not None
        or job.dead
        or job.at_most_once
        or job.failure is not None
    )


def message_of(job: NewJob) -> Message:
    """A new job."""
    return Message(
        job.id, job.task, job.payload, job.queue, job.priority, job.attempt, 0, job.options, job.items, job.packed, job.item
    )  # fmt: skip


def job_of(message: Message) -> NewJob:
    """A message as a job of the backend. It keeps no count of crashes."""
    return NewJob(
        message.id, message.task, message.payload, message.queue, message.priority, delay=message.rest or None, options=message.options,
        items=message.items, packed=message.packed, item=message.item, attempt=message.attempt,
    )  # fmt: skip


def lease_of(message: Message, claim: int, crashes: int) -> Lease:
    """A job that was delivered."""
    return Lease(
        message.id, DELIVERED, claim, message.task, message.payload, message.queue, message.priority, message.attempt,
        message.crashes + crashes, message.options, None, message.items, message.packed, message.item,
    )  # fmt: skip


def again(outcome: Outcome) -> Message:
    """The message that a job goes on by."""
    lease, (attempts, crashes) = outcome.lease, outcome.counts
    return Message(
        lease.id, lease.task, lease.payload if outcome.payload is None else outcome.payload, lease.queue, lease.priority,
        lease.attempt + attempts, lease.crashes + crashes, lease.options,
        lease.items if outcome.items is None else outcome.items, lease.packed, lease.item,
    )  # fmt: skip


def kept(outcome: Outcome) -> NewJob:
    """The job as the backend takes it over."""
    lease, (attempts, _) = outcome.lease, outcome.counts
    dead = outcome.ending is Ending.DEAD
    return NewJob(
        lease.id, lease.task, lease.payload if outcome.payload is None else outcome.payload, lease.queue, lease.priority,
        options=lease.options, items=lease.items if outcome.items is None else outcome.items, packed=lease.packed, item=lease.item,
        attempt=lease.attempt + attempts, failure=outcome.failure, dead=dead,
    )  # fmt: skip


def later(message: Message, rest: float, due: float) -> Message:
    """The same, with so many seconds to wait yet when it is delivered, and when it is due."""
    return replace(message, rest=rest, due=due)
