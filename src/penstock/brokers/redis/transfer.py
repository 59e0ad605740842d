"""How jobs leave a queue in Redis and arrive in it; each shipment by one script."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence

from penstock.brokers.redis.link import Link, moment
from penstock.brokers.redis.messages import encode
from penstock.brokers.redis.record import FAILED, ONCE, PACKED, STATES, UNIQUE, maybe_raw, raw, stored
from penstock.brokers.transfer import REMEMBERED, WORKFLOWS_STAY, Arrival, Left, Pending
from penstock.core.outcome import Step
from penstock.core.shipment import MOST_BYTES, KeptResult, MovedJob, Shipment
from penstock.core.states import State
from penstock.errors import MissingFeature

#: Jobs that one script lets leave, at most: others wait while it runs.
_AT_ONCE = 1000
_MOST = 0xFFFF
_tail = struct.Struct(">BHBHBB").pack
_NUMBERS = {state: number for number, state in enumerate(STATES)}


class RedisTransfer:
    """See `penstock.brokers.transfer.Transfer`. Made by `RedisBroker.transfer`, whose connection it uses."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def name(self) -> bytes:
        """See `Transfer.name`."""
        found = self._link.ask("HGET", "note", "name")
        if found is None:
            self._link.ask("HSETNX", "note", "name", os.urandom(16))
            found = self._link.ask("HGET", "note", "name")
        return bytes(found)

    def ship(
        self, bound_for: bytes, place: str, queues: Sequence[str] | None, most: int, *, now: float | None = None
    ) -> tuple[int, Shipment] | None:
        """See `Transfer.ship`."""
        number = self._link.run(
            "ship", moment(now), os.urandom(16), bound_for, place, min(most, _AT_ONCE), MOST_BYTES, _named(queues)
        )
        if number == 0:
            raise MissingFeature(WORKFLOWS_STAY)
        shipment = None if number is None else self.shipment(number)
        return None if shipment is None else (int(number), shipment)

    def pending(self) -> Sequence[Pending]:
        """See `Transfer.pending`."""
        found = [Pending(int(number), bound_for) for number, bound_for in self._link.run("pending")]
        return sorted(found, key=lambda one: one.number)

    def shipment(self, number: int) -> Shipment | None:
        """See `Transfer.shipment`."""
        found = self._link.run("shipment", number)
        if not found:
            return None
        id, jobs, results, counters = found
        return Shipment(
            id,
            tuple(_moved(*jobs[n : n + 5]) for n in range(0, len(jobs), 5)),
            tuple(KeptResult(results[n], results[n + 1], float(results[n + 2])) for n in range(0, len(results), 3)),
            tuple(Step(counters[n], *map(int, counters[n + 1 : n + 5])) for n in range(0, len(counters), 5)),
        )

    def receive(self, shipment: Shipment) -> Arrival | None:
        """See `Transfer.receive`."""
        results = [(raw(one.id), raw(one.value), one.expires_at) for one in shipment.results]
        counters = [(raw(one.batch), one.done, one.failed, one.retried, one.total) for one in shipment.steps]
        jobs = [_arriving(job) for job in shipment.jobs]
        count = self._link.run("arrive", shipment.id, encode(jobs), encode(results), encode(counters))
        return None if count is None else Arrival(int(count), len(jobs) - int(count))

    def discard(self, number: int) -> None:
        """See `Transfer.discard`."""
        self._link.run("discard", number)

    def settle(self, ids: Sequence[bytes], *, now: float | None = None) -> None:
        """See `Transfer.settle`."""
        self._link.run("settle", moment(now), REMEMBERED, *ids)

    def left(self, queues: Sequence[str] | None, *, now: float | None = None) -> Left:
        """See `Transfer.left`."""
        return Left(*self._link.run("left", moment(now), _named(queues)))


def _named(queues: Sequence[str] | None) -> bytes:
    return b"" if queues is None else encode(list(queues))


def _moved(id: bytes, record: bytes, failure: bytes, unique: bytes, placed: bytes) -> MovedJob:
    (
        _, at, attempt, crashes, number, flags, task, queue, priority, items, item, gate, batch, payload, options,
    ) = stored(record)  # fmt: skip
    state = STATES[number]
    return MovedJob(
        id, task, payload, state,
        # The id was made together with the job, and tells when.
        int.from_bytes(id[:6], "big") / 1000, queue, priority, options, attempt, crashes, batch, items, flags & PACKED > 0, item, flags & ONCE > 0,
        unique.decode() if flags & UNIQUE else None, at if state is State.DELAYED else None, at if state is State.READY else None,
        at if state in {State.DEAD, State.CANCELLED} else None, failure if flags & FAILED else None, gate, placed != b"",
    )  # fmt: skip


def _arriving(job: MovedJob) -> tuple[object, ...]:
    """A job as `lua/arrive.lua` takes it."""
    flags = sum(
        flag
        for flag, is_set in (
            (UNIQUE, job.unique is not None),
            (FAILED, job.failure is not None),
            (PACKED, job.packed),
            (ONCE, job.at_most_once),
        )
        if is_set
    )
    number = _NUMBERS[job.state]
    head = _tail(0xCD, min(job.attempt, _MOST), 0xCD, min(job.crashes, _MOST), number, flags)
    body = (job.task, job.queue, job.priority, job.items, job.item, job.gate, job.batch, job.payload, job.options)
    match job.state:
        case State.DELAYED:
            at = job.run_at
        case State.DEAD | State.CANCELLED:
            at = job.ended_at
        case _:
            at = job.since
    return (
        raw(job.id), raw(head + encode(body)[1:]), job.queue, job.priority, job.gate, number, job.created_at if at is None else float(at), job.unique,
        maybe_raw(job.failure), maybe_raw(job.batch), job.items, job.placed, job.task,
    )  # fmt: skip
