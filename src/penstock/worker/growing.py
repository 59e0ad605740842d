"""What running jobs have added to their workflows: stored with their ends, or not at all."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Protocol

from msgspec.structs import replace

from penstock.core.codec import decode_value
from penstock.core.decide import JobOptions
from penstock.core.ids import uuid7s
from penstock.core.job import Lease, NewJob
from penstock.core.outcome import Outcome, Step
from penstock.errors import ConfigError

#: By the job and the number of its claim; empty in nearly every process at nearly every time.
added: dict[tuple[bytes, int], list[NewJob]] = {}


def add(lease: Lease, jobs: Sequence[NewJob]) -> None:
    """Have jobs stored when a lease ends well, and counted in its stage."""
    added.setdefault((lease.id, lease.claim), []).extend(jobs)


def forget(lease: Lease) -> None:
    """The lease did not end well: what it added is not stored."""
    added.pop((lease.id, lease.claim), None)


def grown(outcome: Outcome) -> Outcome:
    """The outcome of a lease that ended well, with the jobs that it added."""
    lease = outcome.lease
    jobs = added.pop((lease.id, lease.claim), None)
    if jobs is None or lease.batch is None:
        return outcome
    steps = (*outcome.steps, Step(lease.batch, total=len(jobs)))
    return replace(outcome, follow_ups=(*outcome.follow_ups, *jobs), steps=steps)


class Addable(Protocol):
    """A signature."""

    def job(self, id: bytes, stage: bytes, shape: Sequence[int], *, passes: bool) -> NewJob:
        """The job that it becomes."""


class CurrentWorkflow:
    """The workflow of the job that is running; made by `current_job().workflow`."""

    __slots__ = ("_lease",)

    def __init__(self, lease: Lease) -> None:
        self._lease = lease

    def add(self, *signatures: Addable) -> None:
        """Add jobs beside this one: what waits for this job waits for them too, and gets their results after its own.

        They are stored when this job ends well, in the same transaction; if it fails, they are not. One made by `.s` gets no results.
        """
        lease = self._lease
        assert lease.batch is not None
        options = JobOptions() if lease.options is None else decode_value(lease.options, JobOptions)
        ids = uuid7s(len(signatures), time.time_ns() // 1_000_000, os.urandom(10))
        made = [
            signature.job(id, lease.batch, (), passes=bool(options.passes))
            for id, signature in zip(ids, signatures, strict=True)
        ]
        if any(job.unique is not None for job in made):
            raise ConfigError("a unique job that is not stored never ends: take unique= off it in workflows")
        add(lease, made)
