"""A packed row as it runs: item by item, where those that fail leave it as jobs of their own."""

from __future__ import annotations

import copy
import os
import random
import time
from typing import Any, Protocol

import msgspec

from penstock.core.codec import Signature
from penstock.core.decide import Policy, dead, failed
from penstock.core.ids import uuid7s
from penstock.core.job import Failure, Lease, NewJob
from penstock.core.outcome import Ending, Outcome, Step, called_off
from penstock.core.packed import Packed, repack
from penstock.errors import PayloadError


class Packable(Protocol):
    """What a row needs to know of its task."""

    @property
    def signature(self) -> Signature:
        """How its arguments travel."""


class RunningRow:
    """A packed row under way: where it stands, and what has become of the items before.

    Parameters:
        policy: how its items end.
    """

    __slots__ = (
        "_done",
        "_failed",
        "_gone",
        "_lease",
        "_policy",
        "_retried",
        "_task",
        "cancelled",
        "cut",
        "index",
        "packed",
    )

    def __init__(self, task: Packable, policy: Policy, lease: Lease, packed: Packed[Any]) -> None:
        self._task = task
        self._policy = policy
        self._lease = lease
        self.packed = packed
        #: The one that runs.
        self.index = 0
        #: End after the present item.
        self.cut = False
        #: End after the present item, and let go of the rest.
        self.cancelled = False
        self._gone: list[NewJob] = []
        self._done = self._failed = self._retried = 0

    @property
    def item(self) -> int:
        """The number of the item that runs."""
        return self.packed.number(self.index)

    def done(self) -> None:
        """The present item has ended well."""
        self._done += 1

    def leave(self, error: BaseException, traceback: str) -> None:
        """The present item has failed: it leaves the row as a job of its own, delayed or dead."""
        if isinstance(error, PayloadError):
            outcome = dead(self._lease, Failure("PayloadError", str(error)))
        else:
            outcome = failed(self._lease, self._policy, error, traceback, random.random())
        if outcome.ending is Ending.DEAD and outcome.failure is not None:
            self.die(outcome.failure)
            return
        job = self._leaving()
        retried = outcome.ending is Ending.RETRY
        self._retried += retried
        self._gone.append(
            msgspec.structs.replace(job, delay=outcome.delay, failure=outcome.failure, attempt=job.attempt + retried)
        )

    def die(self, failure: Failure) -> None:
        """The present item leaves the row as a dead letter."""
        job = self._leaving()
        self._failed += 1
        self._gone.append(msgspec.structs.replace(job, dead=True, failure=failure, attempt=job.attempt + 1))

    def _leaving(self) -> NewJob:
        return _single(self._task, self._lease, self.packed, self.index, new_ids(1)[0])

    def without_present(self, error: BaseException) -> Outcome:
        """The end while the present item goes on: it failed, what is behind it goes back. Safe from any thread."""
        snapshot = copy.copy(self)
        snapshot._gone = list(self._gone)
        if not snapshot.cancelled:
            snapshot.leave(error, f"{type(error).__name__}: {error}")
        return snapshot.until(snapshot.index + (not snapshot.cancelled))

    def whole(self) -> Outcome:
        """The end, with every item behind it."""
        return Outcome(self._lease, follow_ups=tuple(self._gone), steps=self._steps())

    def until(self, index: int) -> Outcome:
        """The end before an item, which goes back with those behind it, or is cancelled with them."""
        rest = self.packed.rest(index)
        if not rest.items:
            return self.whole()
        outcome = Outcome(
            self._lease, Ending.RELEASED, payload=repack(rest), items=len(rest.items),
            follow_ups=tuple(self._gone), steps=self._steps(),
        )  # fmt: skip
        return called_off(outcome) if self.cancelled else outcome

    def _steps(self) -> tuple[Step, ...]:
        batch = self._lease.batch
        return () if batch is None else (Step(batch, self._done, self._failed, self._retried),)


def scatter(task: Packable, lease: Lease, packed: Packed[Any]) -> Outcome:
    """Every item becomes a job of its own: one of them kills the process, and each alone they show which."""
    ids = enumerate(new_ids(len(packed.items)))
    return Outcome(lease, follow_ups=tuple(_single(task, lease, packed, index, id) for index, id in ids))


def _single(task: Packable, lease: Lease, packed: Packed[Any], index: int, id: bytes) -> NewJob:
    item = packed.items[index]
    return NewJob(
        id=id,
        task=lease.task,
        payload=bytes(item) if isinstance(item, msgspec.Raw) else task.signature.encode_bound(item),
        queue=lease.queue,
        priority=lease.priority,
        options=lease.options,
        batch=lease.batch,
        item=packed.number(index),
        at_most_once=lease.at_most_once,
        attempt=lease.attempt,
        gate=lease.gate,
    )


def new_ids(count: int) -> list[bytes]:
    """Fresh job ids, ascending."""
    return uuid7s(count, time.time_ns() // 1_000_000, os.urandom(10))
