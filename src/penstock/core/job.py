"""A job on its way in (`NewJob`), in a worker's hands (`Lease`) and as it is read back (`JobRecord`)."""

from __future__ import annotations

import msgspec

from penstock.core.states import State

DEFAULT_QUEUE = "default"
DEFAULT_PRIORITY = 5
PRIORITIES = range(10)


class Failure(msgspec.Struct, frozen=True, gc=False):
    """Why an attempt failed: the exception's type name, its message, and the traceback as text."""

    kind: str
    message: str
    traceback: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}" if self.message else self.kind


class Dedup(msgspec.Struct, frozen=True, gc=False):
    """How a unique key counts, where it is not simply held from the enqueue to the end.

    Parameters:
        window: seconds for which the key is held from the enqueue on, whatever becomes of the job.
        started: it is held until the job is started.
        replace: a job that waits gives way to the later one, which is stored under its id.
    """

    window: float | None = None
    started: bool = False
    replace: bool = False


class NewJob(msgspec.Struct, frozen=True, gc=False):
    """A job to be stored.

    `id` is a UUIDv7 (16 bytes) made by whoever enqueues, so that storing it twice is harmless. `delay` is in seconds
    from the moment the store takes the job in, by the store's own clock; `run_at` is in seconds since the epoch, and
    counts where both are given. Without either the job is ready at once. `items` > 1 or a `numbers` list in the payload
    marks a packed row (see `penstock.core.packed`); `item` is the number of a single item that left one.
    A `failure` is what went wrong on the attempts so far; with `dead` the job is stored as a dead letter. Before a `gate`
    jobs wait that are limited together (see `penstock.core.limiter`). `dedup` goes with a `unique` key.
    """

    id: bytes
    task: str
    payload: bytes
    queue: str = DEFAULT_QUEUE
    priority: int = DEFAULT_PRIORITY
    delay: float | None = None
    run_at: float | None = None
    unique: str | None = None
    options: bytes | None = None
    batch: bytes | None = None
    items: int = 1
    packed: bool = False
    item: int | None = None
    at_most_once: bool = False
    attempt: int = 0
    failure: Failure | None = None
    dead: bool = False
    gate: str | None = None
    dedup: Dedup | None = None


def due_at(job: NewJob, now: float) -> float | None:
    """When a job that is stored at `now` is to run, in epoch seconds; None is at once."""
    if job.run_at is not None:
        return job.run_at
    return now + job.delay if job.delay else None


class Holder(msgspec.Struct, frozen=True, gc=False):
    """Who holds a lease: a worker incarnation (a fresh id at every start) and one process of it."""

    worker: str
    process: int = 0


class Lease(msgspec.Struct, frozen=True, gc=False):
    """A job that belongs to one holder until it is ended or its holder is dead.

    `key` is the store's own handle of the row. `claim` only ever grows: an ending is accepted only with the claim
    that is in force, so a holder that was given up for dead can't end a job that has been handed to another.
    `attempt` counts failed attempts before this one.
    """

    id: bytes
    key: int
    claim: int
    task: str
    payload: bytes
    queue: str = DEFAULT_QUEUE
    priority: int = DEFAULT_PRIORITY
    attempt: int = 0
    crashes: int = 0
    options: bytes | None = None
    batch: bytes | None = None
    items: int = 1
    packed: bool = False
    item: int | None = None
    at_most_once: bool = False
    gate: str | None = None


class JobRecord(msgspec.Struct, frozen=True, gc=False):
    """A stored job as the `Inspector` reads it. Times are in seconds since the epoch."""

    id: bytes
    task: str
    queue: str
    priority: int
    state: State
    attempt: int
    crashes: int
    created_at: float
    payload: bytes
    items: int = 1
    packed: bool = False
    item: int | None = None
    batch: bytes | None = None
    unique: str | None = None
    run_at: float | None = None
    ended_at: float | None = None
    failure: Failure | None = None
    worker: str | None = None
    gate: str | None = None
