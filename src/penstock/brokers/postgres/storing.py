"""Storing jobs in a PostgreSQL queue."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.brokers.postgres import columns
from penstock.brokers.postgres.arrays import Array
from penstock.brokers.postgres.gates import lines_of
from penstock.brokers.postgres.link import Link, Session
from penstock.core.job import NewJob


def store(
    session: Session | Link, jobs: Sequence[NewJob], now: float | None, *, grow: bool, always: bool = False
) -> list[bytes]:
    """Store jobs; returns the ids that stand for them.

    Parameters:
        grow: count them in their batches.
        always: wake the workers even if they have been woken by now.
    """
    lines = lines_of(jobs)
    if lines:
        if isinstance(session, Link):
            with session.transaction() as inside:
                return store(inside, jobs, now, grow=grow, always=always)
        session.run("look", names=Array("text", lines), due=0.0)
    stands = [job.id for job in jobs]
    missing = list(range(len(jobs)))
    while missing:
        given = [jobs[n] for n in missing]
        ((found,),) = session.run("store", **columns.of_jobs(given), grow=grow, at=now, always=always)
        if found is None:
            break
        for n, id in zip(missing, found, strict=True):
            stands[n] = id
        # A key that was taken when the job was to be stored, and free when its holder was looked up: once more.
        missing = [n for n, id in zip(missing, found, strict=True) if id is None]
    return stands
