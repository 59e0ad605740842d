"""A job as a message: what is written, and what it is a lease of when it is delivered."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from penstock.brokers.amqp.names import Lane
from penstock.core.job import Lease, NewJob
from penstock.core.outcome import Ending, Outcome

#: The `key` of every lease that was delivered by RabbitMQ; those of the backend are its own numbers, which are never negative.
DELIVERED = -1


class Message(msgspec.Struct, frozen=True, gc=False, array_like=True, omit_defaults=True):
    """The body of a message. `rest` is the seconds to wait after a delay that was longer than the longest there is; `due` is when
    one that was delayed is to run, in epoch seconds by the clock of who sent it.
    """

    id: bytes
    task: str
    payload: bytes
    queue: str
    priority: int
    attempt: int = 0
    crashes: int = 0
    options: bytes | None = None
    items: int = 1
    packed: bool = False
    item: int | None = None
    rest: float = 0.0
    due: float = 0.0

    @property
    def lane(self) -> Lane:
        """Where it goes."""
        return Lane(self.queue, self.priority)


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Message).decode


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
