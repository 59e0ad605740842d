"""The reading and repairing side of a store, for the command line and for job handles; workers do not need it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

from penstock.core.canary import is_canary
from penstock.core.job import JobRecord
from penstock.core.metrics import FINE, Sample
from penstock.core.states import State

if TYPE_CHECKING:  # for `penstock explain` alone
    from penstock.core.standing import Standing

#: Jobs up to which a look at all queues counts each.
GLANCE = 100_000


class Selection(msgspec.Struct, frozen=True):
    """Which jobs: all that fit every field that is given."""

    ids: tuple[bytes, ...] | None = None
    state: State | None = None
    queue: str | None = None
    task: str | None = None
    batch: bytes | None = None


class QueueCounts(msgspec.Struct, frozen=True):
    """How many jobs of a queue are in each state; in those of `about`, the number is an estimate."""

    queue: str
    ready: int = 0
    running: int = 0
    delayed: int = 0
    parked: int = 0
    dead: int = 0
    waiting: int = 0
    about: tuple[str, ...] = ()


def of_users(counts: Iterable[QueueCounts]) -> list[QueueCounts]:
    """Those of the user's queues: a worker's canary comes and goes, and one that was killed may leave its own."""
    return [each for each in counts if not is_canary(each.queue)]


class RunningJob(msgspec.Struct, frozen=True):
    """A job that runs: for how many seconds, and how far it says it is (`total` is 0 where it says nothing)."""

    id: bytes
    seconds: float
    done: float = 0.0
    total: float = 0.0


class LaneRecord(msgspec.Struct, frozen=True):
    """A lane of a worker: its processes, how many slots of each may be used, and in how many a job runs.

    Where the size follows the work, `least` and `most` are the slots in all that it has at least and at most, and `why`
    is the reason of the latest change.
    """

    queues: tuple[str, ...]
    pool: str
    processes: int
    slots: int
    busy: int = 0
    least: int | None = None
    most: int | None = None
    why: str = ""


class WorkerRecord(msgspec.Struct, frozen=True):
    """A worker that is, or was lately, alive. `started_at` is epoch seconds, `silent_for` seconds.

    `running` counts the jobs it holds; `jobs` are those that had started when it last gave a sign of life. `trouble` is
    why it does no work, by its own account: nothing where it does, None where it does not say.
    """

    id: str
    host: str
    pid: int
    pool: str
    slots: int
    queues: tuple[str, ...]
    started_at: float
    silent_for: float
    running: int
    jobs: tuple[RunningJob, ...] = ()
    lanes: tuple[LaneRecord, ...] = ()
    trouble: str | None = None


class BatchRecord(msgspec.Struct, frozen=True):
    """The counters of a batch, in items; the rest of `total` is still under way."""

    id: bytes
    total: int
    done: int
    failed: int
    retried: int

    @property
    def left(self) -> int:
        """How many are under way."""
        return max(0, self.total - self.done - self.failed)


class Ended(msgspec.Struct, frozen=True):
    """What is known of a job's end: its state and, where it is kept, the encoded result."""

    state: State
    value: bytes | None = None


class Inspector(Protocol):
    """Reads and repairs; every method may be called while workers run."""

    def get(self, id: bytes) -> JobRecord | None:
        """One job, or None when it is not stored (any more)."""

    def list(self, selection: Selection, *, limit: int = 50, after: bytes | None = None) -> Sequence[JobRecord]:
        """Jobs in the order of their ids (so, of their making), from after the id `after`."""

    def count(self, *, most: int | None = None) -> Sequence[QueueCounts]:
        """Every queue that holds a job.

        Parameters:
            most: of how many jobs on the store may estimate instead of counting, where counting takes longer the more
                there are; None counts all. A queue of few jobs may be missed in a state that is estimated, but not in `ready`.
        """

    def workers(self) -> Sequence[WorkerRecord]:
        """Every worker on the list."""

    def metrics(self, since: float, *, span: int = FINE) -> Sequence[Sample]:
        """What workers have counted, in points of a length (`FINE` or `COARSE` seconds) that ended after an epoch time, oldest first."""

    def result(self, id: bytes, *, now: float | None = None) -> bytes | None:
        """The encoded result of a job that ended well, if it is kept."""

    def batch(self, id: bytes) -> BatchRecord | None:
        """A batch's counters."""

    def moved_to(self, id: bytes) -> str | None:
        """Where a job or batch went that was moved from here within the last day and did not come back: a URL without a password."""

    def standing(self, id: bytes) -> Standing | None:
        """Where a job stands among those that are ready; None where it is not ready."""

    def cancel(self, selection: Selection) -> int:
        """Cancel jobs that have not started, and have those that run cancelled; returns how many of both.

        A job that runs is marked. Its worker interrupts it; whatever would have it run again, a retry or the death of its
        worker, makes it cancelled instead. One that ends before is done.
        """

    def retry(self, selection: Selection) -> int:
        """Make dead and cancelled jobs ready again, with all their attempts; returns how many."""

    def delete(self, selection: Selection) -> int:
        """Delete jobs that are not running; returns how many."""
