"""What a running task can learn about its own job."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Protocol

from penstock.core.codec import decode_value
from penstock.core.decide import JobOptions
from penstock.core.ids import format_id
from penstock.core.job import Lease


class Row(Protocol):
    """Where a packed row stands."""

    @property
    def item(self) -> int:
        """The number of the item that runs."""


current_lease: ContextVar[Lease | None] = ContextVar("current_lease", default=None)
current_row: ContextVar[Row | None] = ContextVar("current_row", default=None)

#: Where a job's progress is noted; set once in a worker process, and empty elsewhere.
_note: list[Callable[[bytes, float, float], None]] = []


def note_progress(note: Callable[[bytes, float, float], None]) -> None:
    """Have progress noted by a function of job id, done and total."""
    _note[:] = [note]


class CurrentJob:
    """The job that is running; made by `current_job()`."""

    __slots__ = ("_lease", "item")

    def __init__(self, lease: Lease, item: int | None) -> None:
        self._lease = lease
        #: The number of the item in its batch, for jobs that came from `.map` or `penstock load`.
        self.item = item

    @property
    def id(self) -> str:
        """The job's id, a UUID as text."""
        return format_id(self._lease.id)

    @property
    def task(self) -> str:
        """The task's name."""
        return self._lease.task

    @property
    def queue(self) -> str:
        """The queue the job came from."""
        return self._lease.queue

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1; attempts that were interrupted do not count."""
        return self._lease.attempt + 1

    @property
    def due(self) -> datetime | None:
        """When the run of a schedule that this job is was due, in UTC; None for other jobs. A late run is still that of its time."""
        options = None if self._lease.options is None else decode_value(self._lease.options, JobOptions)
        return None if options is None or options.due is None else datetime.fromtimestamp(options.due, UTC)

    def progress(self, done: float, total: float) -> None:
        """Say how far the job is; `penstock status` and `penstock show` tell it within a few seconds.

        Parameters:
            done, total: in any unit, as long as it is the same.
        """
        for note in _note:
            note(self._lease.id, done, total)


def current_job() -> CurrentJob:
    """The job that the calling task runs for; `RuntimeError` outside of one."""
    lease = current_lease.get()
    if lease is None:
        raise RuntimeError("current_job() works inside a task that a worker runs")
    row = current_row.get() if lease.packed else None
    return CurrentJob(lease, lease.item if row is None else row.item)
