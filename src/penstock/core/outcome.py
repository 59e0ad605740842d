"""How a lease ends: one frozen value, decided in one place and written in one statement."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

import msgspec
from msgspec.structs import replace

from penstock.core.job import Failure, Lease, NewJob


class Ending(IntEnum):
    """What becomes of the job."""

    DONE = 0
    RETRY = 1  # failed: counts an attempt and runs again after `delay`
    SNOOZE = 2  # not failed: runs again after `delay`
    DEAD = 3
    CANCELLED = 4
    PARKED = 5  # this worker does not know the task; one that does will take it
    RELEASED = 6  # given back where it was; nothing is counted


#: After these the job would run again.
AGAIN = frozenset({Ending.RETRY, Ending.SNOOZE, Ending.PARKED, Ending.RELEASED})

#: After these it never does, unless somebody asks for it.
FINAL = frozenset({Ending.DONE, Ending.DEAD, Ending.CANCELLED})


class Step(msgspec.Struct, frozen=True, gc=False):
    """What an outcome adds to the counters of a batch, in items."""

    batch: bytes
    done: int = 0
    failed: int = 0
    retried: int = 0
    total: int = 0


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """The ending of one lease, with everything that commits together with it.

    `delay` and `result_ttl` are in seconds. `payload` replaces the job's own when it goes on later (what is left
    of a packed row, say). `follow_ups` are stored in the same transaction, and so are the counter `steps`.
    `committed` says that all this is in the store already, by a transaction that did more than end the lease.
    The outcome of a bundle is no more than its `parts`, one for each of its leases. Where `crashes` are given they are
    counted, in place of a failed attempt: the job did not fail, its process died. A result that `passes` is kept until those have started that take it.
    """

    lease: Lease
    ending: Ending = Ending.DONE
    delay: float = 0.0
    result: bytes | None = None
    result_ttl: float = 0.0
    failure: Failure | None = None
    payload: bytes | None = None
    items: int | None = None
    follow_ups: tuple[NewJob, ...] = ()
    steps: tuple[Step, ...] = ()
    committed: bool = False
    parts: tuple[Outcome, ...] = ()
    crashes: int | None = None
    passes: bool = False

    @property
    def counts(self) -> tuple[int, int]:
        """How many failed attempts and crashes it adds to its job's."""
        if self.crashes is not None:
            return 0, self.crashes
        failed = self.ending is Ending.RETRY or (self.ending is Ending.DEAD and self.failure is not None)
        return int(failed), 0


def ended(outcomes: Iterable[Outcome]) -> list[bytes]:
    """The ids of the jobs that have ended for good."""
    return [outcome.lease.id for outcome in outcomes if outcome.ending in FINAL]


def called_off(outcome: Outcome) -> Outcome:
    """What becomes of a job that somebody asked to cancel while it ran, where it would run again otherwise."""
    if outcome.ending not in AGAIN:
        return outcome
    lease = outcome.lease
    items = lease.items if outcome.items is None else outcome.items
    steps = outcome.steps if lease.batch is None else (*outcome.steps, Step(lease.batch, failed=items))
    return replace(outcome, ending=Ending.CANCELLED, delay=0.0, steps=steps)
