"""What a broker does: the path of a job through a store, in eight required methods and some with defaults.

A broker is synchronous, works in batches, and fences every ending by the claim of its lease. It is not thread-safe:
whoever opens it owns it, and calls it from one thread at a time. Driver exceptions never leave a broker: they become
`penstock.errors.StoreError` and its kin. Every statement that depends on time takes `now` as a parameter.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

import msgspec

from penstock.brokers.diagnosis import Check, Schema
from penstock.brokers.inspect import Inspector, LaneRecord, RunningJob
from penstock.core.job import Holder, Lease, NewJob
from penstock.core.outcome import Ending, Outcome
from penstock.core.topics import Event, Router, Subscription
from penstock.errors import ConfigError, MissingFeature

if TYPE_CHECKING:  # a program that only sends jobs loads none of these
    from penstock.brokers.listener import Listener
    from penstock.brokers.memos import MemoStore
    from penstock.brokers.schedules import ScheduleStore
    from penstock.brokers.transfer import Transfer
    from penstock.brokers.workflows import Workflows
    from penstock.core.limiter import Limit
    from penstock.core.metrics import Point

#: Jobs that `Broker.backlog` counts, at most: as many as the deepest step of `ByDepth` asks for.
COUNTED = 10_001
#: Seconds between two looks of `Broker.prune` at a batch: its counters go when it has had no job for so long.
EVERY_BATCH = 86_400.0
#: Batches that one `Broker.prune` looks at.
SOME_BATCHES = 1000


class Feature(StrEnum):
    """What a broker may lack."""

    DELAY = "delay"
    PRIORITY = "priority"
    UNIQUE = "unique"
    RESULTS = "results"
    CANCEL = "cancel"
    INSPECT = "inspect"
    BATCH = "batch"
    LIMITS = "limits"
    TOPICS = "topics"
    SCHEDULES = "schedules"
    WORKFLOWS = "workflows"


class Exchange(msgspec.Struct, frozen=True, gc=False):
    """What an exchange gave: new leases in the order to run them, and the outcomes that came too late."""

    leases: list[Lease]
    stale: list[Outcome]


class Backlog(msgspec.Struct, frozen=True):
    """What waits in some queues and could start now: how many jobs (counted up to `COUNTED`), and for how many seconds the
    oldest of them has been ready.
    """

    ready: int = 0
    waited: float = 0.0


class WorkerInfo(msgspec.Struct, frozen=True):
    """A worker as it shows itself with each heartbeat. `id` is its incarnation; `started_at` is epoch seconds; `jobs` run.

    `trouble` is why it does no work, and nothing where it does; None where it does not say.
    """

    id: str
    host: str
    pid: int
    pool: str
    slots: int
    queues: tuple[str, ...]
    started_at: float
    jobs: tuple[RunningJob, ...] = ()
    lanes: tuple[LaneRecord, ...] = ()
    trouble: str | None = None


class Broker(ABC):
    """A store that keeps jobs and hands them out."""

    features: ClassVar[frozenset[Feature]]
    #: May the store be out of reach while workers live? Then whoever comes to it does not judge at once who is silent.
    can_be_away: ClassVar[bool] = True
    #: Is every job a record that each connection can see, of which a lease outlives the connection that took it, and that is due by the time that is passed in?
    #: Otherwise jobs are messages, as on RabbitMQ.
    keeps_records: ClassVar[bool] = True
    #: Are those who watch for ends told of the ones in a transaction of somebody else's, as that commits? If not, whoever commits it says so by `tell_ended`.
    tells_within: ClassVar[bool] = True

    @abstractmethod
    def open(self) -> None:
        """Connect, and bring the store's tables up to date. Safe to call in many processes at once."""

    @abstractmethod
    def close(self) -> None:
        """Disconnect. May be called twice."""

    @abstractmethod
    def install(self) -> None:
        """Create or upgrade the store's tables; nothing to do where they are current."""

    def schema(self) -> Schema:
        """Which tables the store has. Connects by itself and changes nothing: needs no `open`."""
        return Schema(0, 0)

    def diagnose(self) -> Iterable[Check]:
        """Look for what is wrong, or could be better. Connects by itself and changes nothing: needs no `open`."""
        return ()

    def ddl(self) -> str:
        """What `install` runs, for somebody else to run; connects to nothing."""
        raise MissingFeature(f"{type(self).__name__} has no script to print: penstock install makes what it needs")

    @abstractmethod
    def enqueue(self, jobs: Sequence[NewJob], *, now: float | None = None, tx: object | None = None) -> list[bytes]:
        """Store all the jobs or none, and wake waiting workers by the same commit.

        A job whose id is stored already is left as it is. A job whose unique key is taken is not stored.

        Parameters:
            tx: a connection of the user's own, for brokers that can join its transaction.

        Returns:
            The id that stands for each job: its own, or that of the job which holds its unique key.
        """

    @abstractmethod
    def exchange(
        self,
        outcomes: Sequence[Outcome],
        queues: Sequence[str],
        limit: int,
        holder: Holder,
        *,
        now: float | None = None,
        tx: object | None = None,
    ) -> Exchange:
        """Hand in outcomes and take up to `limit` new leases, in one transaction; never waits for work.

        An outcome whose lease is no longer in force changes nothing and is returned as stale. Higher priorities
        come first, then older positions; across queues, no queue starves another.

        Parameters:
            tx: a connection whose open transaction the endings are made in, with `limit` 0, by a sink in the same
                database say. If any of them is stale, the caller rolls back.
        """

    def standby(self, queues: Sequence[str], wake: Callable[[], None]) -> bool:
        """The caller has room, and nothing to do until its next `exchange`: a store that can may send it a job ahead of that.

        Parameters:
            wake: called from a thread when something has come, for the next `exchange` to take.

        Returns:
            Whether it is sent a job as soon as there is one of those that `sent` of `listen` would tell of.
        """
        return False

    def go_around(self, others: int) -> bool:
        """So many others claim at this moment: where claims of the same jobs wait for each other, the next `exchange` takes what is behind theirs.

        It asks nothing of the store, and where there is not that much, changes nothing.

        Returns:
            Whether it does so.
        """
        return False

    def requeue(self, leases: Sequence[Lease], holder: Holder) -> list[Lease]:
        """Give back leases that were not run; no attempt is counted. Returns those that were stale."""
        outcomes = [Outcome(lease, Ending.RELEASED) for lease in leases]
        return [outcome.lease for outcome in self.exchange(outcomes, (), 0, holder).stale]

    @abstractmethod
    def abandon(self, holder: Holder, crashed: Sequence[bytes] = ()) -> int:
        """Give back everything that a dead process held; returns how many jobs.

        The jobs in `crashed` were running when it died: each counts a crash. Jobs that may not run twice
        (`at_most_once`) become dead letters that say so.
        """

    @abstractmethod
    def purge(self, queue: str) -> int:
        """Delete the ready and delayed jobs of a queue; returns how many."""

    @abstractmethod
    def heartbeat(self, worker: WorkerInfo, *, now: float | None = None) -> None:
        """Say that the worker lives. One write, however many jobs and processes it has.

        `now` is in seconds on the clock that the store judges liveness by, which is never one that a user can set.
        """

    def depart(self, worker: str) -> None:
        """A worker that stopped in order takes its name off the list, and gives back what it may still hold."""
        self.abandon(Holder(worker))

    def promote(self, *, now: float | None = None, limit: int = 10_000) -> float | None:
        """Make delayed jobs that are due ready. Returns in how many seconds the next one is due, if there is any."""
        return None

    def rescue(self, *, dead_after: float, now: float | None = None) -> int:
        """Give back the jobs of workers whose last heartbeat is `dead_after` seconds old; returns how many.

        `now` is on the same clock as that of `heartbeat`.
        """
        return 0

    def show(self, leases: Sequence[Lease], holder: Holder) -> int:
        """Have leases that this connection holds be found by `Inspector`: told of jobs that run for long, where `keeps_records` is false.

        Returns:
            How many are from now on.
        """
        return 0

    def held(self, holder: Holder) -> list[Lease]:
        """The leases of one process that are in force, oldest claims first."""
        return []

    def cancelled(self, worker: str) -> list[tuple[int, bytes]]:
        """The jobs that this worker runs and that are to be cancelled: the number of the process, and the job's id."""
        return []

    def backlog(self, queues: Sequence[str], *, now: float | None = None, most: int = COUNTED) -> Backlog:
        """What waits in these queues and could start now.

        Parameters:
            now: in epoch seconds.
            most: jobs that are counted, at most.
        """
        return Backlog()

    def declare(self, limits: Mapping[str, Limit | None]) -> None:
        """Set the limits of tasks and queues for all workers, and lift those that are None; others stay as they are.

        Parameters:
            limits: by a task's name, or a comma and a queue's.
        """
        limited = sorted(name.lstrip(",") for name, limit in limits.items() if limit is not None)
        if limited:
            raise MissingFeature(f"{type(self).__name__} keeps no limits, and {', '.join(limited)} have some")

    def subscribe(self, subscriptions: Sequence[Subscription]) -> None:
        """Keep subscriptions, beside those that there are: what is published from now on goes to them as well.

        How a handler's jobs are stored is told by its subscription that was given last, for all of its patterns.
        """
        wanted = sorted({one.task for one in subscriptions})
        if wanted:
            raise MissingFeature(
                f"{type(self).__name__} has no topics, which {', '.join(wanted)} need: use a broker that does"
            )

    def unsubscribe(self, subscriptions: Sequence[Subscription]) -> int:
        """Forget the subscriptions of these keys; returns how many there were. Jobs of events that were published before stay."""
        return 0

    def subscriptions(self) -> list[Subscription]:
        """All that there are, in the order of their keys."""
        return []

    def publish(self, events: Sequence[Event], *, now: float | None = None, tx: object | None = None) -> list[int]:
        """Store a job of each event for each handler that subscribes to its topic; all of them or none, as `enqueue` does.

        An event that is published again, by its id, is left as it is where it is still stored.

        Parameters:
            tx: as in `enqueue`. Who gets an event is settled when it is published, not when that commits.

        Returns:
            How many groups get each event.
        """
        if Feature.TOPICS not in self.features:
            raise MissingFeature(f"{type(self).__name__} has no topics: publish through a broker that does")
        out = Router(self.subscriptions()).fan_out(events)
        self.enqueue(out.jobs, now=now, tx=tx)
        return out.groups

    def record(self, worker: str, span: int, number: int, point: Point, *, now: float | None = None) -> bool:
        """Keep what a worker has counted, for as long as `penstock.core.metrics.KEPT` says of its span.

        Parameters:
            worker: its id.
            span: seconds that its points of this kind cover.
            number: of the point; one of the same number is replaced.
            now: in epoch seconds.

        Returns:
            Whether the store keeps such things.
        """
        return False

    def unpark(self, tasks: Sequence[str]) -> int:
        """Make parked jobs of these tasks ready again; returns how many."""
        return 0

    def prune(self, *, now: float | None = None) -> int:
        """Delete results that have expired; returns how many. Counters of batches go as well that have had no job for a day."""
        return 0

    def depth(self, queue: str) -> int:
        """How many jobs of a queue are ready."""
        return 0

    def inspector(self) -> Inspector:
        """The reading and repairing side, for as long as the broker is open."""
        raise MissingFeature(f"{type(self).__name__} can't list or repair jobs")

    def transfer(self) -> Transfer:
        """The side that jobs leave and arrive by on their way between stores, for as long as the broker is open."""
        raise MissingFeature(f"{type(self).__name__} can't give its jobs to another store, or take another's")

    def schedules(self) -> ScheduleStore:
        """The side that keeps schedules, for as long as the broker is open; `penstock.brokers.timetable` says what is done with it."""
        raise MissingFeature(f"{type(self).__name__} keeps no schedules: use a broker that does")

    def memos(self) -> MemoStore:
        """The side that keeps what running jobs note, for as long as the broker is open."""
        raise MissingFeature(f"{type(self).__name__} keeps no memos: use a broker that does")

    def workflows(self) -> Workflows:
        """The side that keeps workflows, for as long as the broker is open."""
        raise MissingFeature(
            f"{type(self).__name__} keeps no workflows ({Feature.WORKFLOWS}): keep the queue in a broker that does"
        )

    def listen(self, listener: Listener) -> AbstractContextManager[None]:
        """While the context is open, tell the listener from a thread when there may be work: new, given back, or due.

        These are hints: a poll makes up for one that is lost.
        """
        return nullcontext()

    def watch_ends(self, tell: Callable[[Sequence[bytes]], None]) -> AbstractContextManager[bool]:
        """While the context is open, call `tell` from a thread with the ids of jobs that have ended for good; with none, any may have.

        Safe to enter and leave in any thread. It is a hint, as `listen` is, and costs nothing where nobody watches. The context says whether
        hints may come at all: without, a poll has to do.
        """
        return nullcontext(False)

    def tell_ended(self, ids: Sequence[bytes]) -> None:
        """Tell those who watch that jobs have ended which no `exchange` of this broker ended; with no ids, any may have."""
        del ids  # nobody watches


def refuse_transaction(tx: object | None, scheme: str) -> None:
    """Raise `ConfigError` where a caller gives a transaction to a broker that has none to join."""
    if tx is not None:
        raise ConfigError(
            f"{scheme}:// has no transaction to join: leave tx= out, or keep the queue in the database that has it"
        )
