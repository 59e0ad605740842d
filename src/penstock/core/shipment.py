"""Jobs on their way from one store to another: a shipment, and all that is known of each job in it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from penstock.core.job import DEFAULT_PRIORITY, DEFAULT_QUEUE
from penstock.core.outcome import Step
from penstock.core.states import State

#: Jobs in these states wait; the others have ended.
WAITING = frozenset({State.READY, State.DELAYED, State.PARKED})


#: Bytes of payloads that leave together, unless one job, or the jobs of one key, have more.
MOST_BYTES = 8 << 20
#: Results that leave together, at most.
MOST_RESULTS = 500


class MovedJob(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A job with its whole history. Times are in seconds since the epoch.

    `failure` is as `penstock.core.codec.encode_failure` writes it. `since` is from when on it has been ready, where that is not since it was made.
    `placed` says that it has its place in the order of its key, whether it is ready or not; what comes later in a shipment comes later in the order.
    """

    id: bytes
    task: str
    payload: bytes
    state: State
    created_at: float
    queue: str = DEFAULT_QUEUE
    priority: int = DEFAULT_PRIORITY
    options: bytes | None = None
    attempt: int = 0
    crashes: int = 0
    batch: bytes | None = None
    items: int = 1
    packed: bool = False
    item: int | None = None
    at_most_once: bool = False
    unique: str | None = None
    run_at: float | None = None
    since: float | None = None
    ended_at: float | None = None
    failure: bytes | None = None
    gate: str | None = None
    placed: bool = False


class KeptResult(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The encoded result of a job that ended well, and until when it is kept, in seconds since the epoch."""

    id: bytes
    value: bytes
    expires_at: float


class Shipment(msgspec.Struct, frozen=True):
    """What leaves one store together and arrives in another together.

    Its `id` is what a store knows it by where it has arrived, so that it arrives once. The jobs are in the order of their places. `steps` are
    the counters of batches, to be added to those that are there.
    """

    id: bytes
    jobs: tuple[MovedJob, ...] = ()
    results: tuple[KeptResult, ...] = ()
    steps: tuple[Step, ...] = ()

    @property
    def ids(self) -> bytes:
        """The ids of the jobs and of the batches whose counters leave, one after another."""
        return b"".join([*(job.id for job in self.jobs), *(step.batch for step in self.steps)])

    @property
    def is_empty(self) -> bool:
        """Is there nothing in it?"""
        return not (self.jobs or self.results or self.steps)


def fitting(sizes: Iterable[tuple[int, object]]) -> int:
    """How many jobs, from the first on, leave together.

    Parameters:
        sizes: of each job, the bytes of its payload and what it keeps the order of, or None: such jobs are not parted.
    """
    count = total = 0
    before: object = None
    for size, line in sizes:
        total += size
        if count and total > MOST_BYTES and (line is None or line != before):
            break
        count += 1
        before = line
    return count


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Shipment)


def encode_shipment(shipment: Shipment) -> bytes:
    """A shipment as bytes."""
    return _encoder.encode(shipment)


def decode_shipment(data: bytes) -> Shipment:
    """The shipment that was encoded."""
    return _decoder.decode(data)


def uncounted(job: MovedJob) -> Step | None:
    """What a batch's counters lose when a job of it is not stored, as another stands for it."""
    if job.batch is None:
        return None
    ended = 0 if job.state in WAITING else job.items
    return Step(job.batch, total=-job.items, failed=-ended)
