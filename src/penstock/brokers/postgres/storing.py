"""Storing jobs in a PostgreSQL queue."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from penstock.brokers.postgres import columns
from penstock.brokers.postgres.arrays import Array
from penstock.brokers.postgres.gates import lines_of
from penstock.brokers.postgres.link import Link, Session
from penstock.core.job import NewJob
from penstock.core.memo import window_id

#: Looks at a key that others store jobs of at the same time, at most.
_TRIES = 5


def store(
    session: Session | Link, jobs: Sequence[NewJob], now: float | None, *, grow: bool, always: bool = False
) -> list[bytes]:
    """Store jobs; returns the ids that stand for them.

    Parameters:
        grow: count them in their batches.
        always: wake the workers even if they have been woken by now.
    """
    if len(jobs) == 1 and columns.is_plain(jobs[0]):
        session.run("store_one", **columns.of_job(jobs[0]), at=now, always=always)
        return [jobs[0].id]
    if any(job.dedup is not None for job in jobs):
        return _store_each(session, jobs, now, grow=grow, always=always)
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


def _store_each(
    session: Session | Link, jobs: Sequence[NewJob], now: float | None, *, grow: bool, always: bool
) -> list[bytes]:
    """As `store`, one after the other: what becomes of a unique key may depend on the job before."""
    if isinstance(session, Link):
        with session.transaction() as inside:
            return _store_each(inside, jobs, now, grow=grow, always=always)
    stands: list[bytes] = []
    for job in jobs:
        stood = job.id
        for _ in range(_TRIES):
            settled = _settled(session, job, now)
            if isinstance(settled, bytes):
                stood = settled
                break
            (stood,) = store(session, [settled], now, grow=grow, always=always)
            # Another may have stored a job of the key since, which is to give way as well.
            if stood == settled.id or job.dedup is None or not job.dedup.replace:
                break
        stands.append(stood)
    return stands


def _settled(session: Session, job: NewJob, now: float | None) -> NewJob | bytes:
    """See to the unique key of a new job; returns what is to be stored, perhaps under its holder's id, or the id that stands for it."""
    dedup, key = job.dedup, job.unique
    if dedup is None or key is None:
        return job
    job = replace(job, dedup=None)
    if dedup.window is None:
        by = {"key": key, "id": job.id.hex(), "started": dedup.started, "replace": dedup.replace}
        ((gone,),) = session.run("key_settle", **by)
        return job if gone is None else replace(job, id=gone)
    while True:
        rows = session.run("key_window", key=window_id(key).hex(), id=job.id, window=dedup.window, at=now)
        if rows:
            holder = bytes(rows[0][0])
            return replace(job, unique=None) if holder == job.id else holder
