"""Jobs and outcomes as columns for PostgreSQL's functions, and rows as leases: pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace
from psycopg.types.numeric import Int2

from penstock.brokers.postgres.arrays import Array, column, sparse
from penstock.brokers.workflows import KEPT_FAILED
from penstock.core.codec import encode_failure
from penstock.core.job import Lease, NewJob
from penstock.core.limiter import gate_of, is_ordered, line, queue_of
from penstock.core.outcome import Ending, Outcome
from penstock.stores.pending import Binary

#: The number of the type.
_UUID = 2950


def of_jobs(jobs: Sequence[NewJob]) -> dict[str, Array | None]:
    """The columns of jobs to be stored."""
    return {
        "ids": Array("uuid", [job.id for job in jobs]),
        "queues": column("text", [job.queue if job.gate is None else line(job.queue, job.gate) for job in jobs]),
        # What keeps an order has one rank, in which its line is sorted by place.
        "ranks": column(
            "int2", [9 - job.priority if job.gate is None or not is_ordered(job.gate) else 4 for job in jobs]
        ),
        "tasks": column("text", [job.task for job in jobs]),
        "payloads": Array("bytea", [job.payload for job in jobs]),
        "options": sparse("bytea", [job.options for job in jobs]),
        "attempts": column("int4", [job.attempt for job in jobs]),
        "batches": sparse("uuid", [job.batch for job in jobs]),
        "items": column("int4", [job.items for job in jobs]),
        "packed": column("bool", [job.packed for job in jobs]),
        "item": sparse("int8", [job.item for job in jobs]),
        "keys": sparse("text", [job.unique for job in jobs]),
        "once": column("bool", [job.at_most_once for job in jobs]),
        "run_ats": sparse("float8", [job.run_at for job in jobs]),
        # No delay is at once; a time to run at counts before a delay.
        "delays": sparse("float8", [job.delay or None for job in jobs]),
        "failures": sparse("bytea", [encode_failure(job.failure) for job in jobs]),
        "dead": column("bool", [job.dead for job in jobs]),
    }


def is_plain(job: NewJob) -> bool:
    """Is it ready at once and on its own? Then it has only what `of_job` names."""
    return not (
        job.delay
        or job.packed
        or job.attempt
        or job.dead
        or job.items != 1
        or any(each is not None for each in (job.run_at, job.gate, job.unique, job.batch, job.item, job.failure))
    )


def of_job(job: NewJob) -> dict[str, object]:
    """The columns of a plain job."""
    return {
        "id": Binary(job.id, _UUID),
        "queue": job.queue,
        "rank": Int2(9 - job.priority),
        "task": job.task,
        "payload": job.payload,
        "options": job.options,
        "once": job.at_most_once,
    }


def of_outcomes(outcomes: Sequence[Outcome]) -> dict[str, Array | None]:
    """The columns of outcomes; what all of them lack, or all are (done), is None."""
    all_done = all(outcome.ending is Ending.DONE for outcome in outcomes)
    columns: dict[str, Array | None] = {
        "ids": Array("uuid", [outcome.lease.id for outcome in outcomes]),
        "claims": Array("int8", [outcome.lease.claim for outcome in outcomes]),
        "endings": None, "delays": None, "failures": None, "payloads": None, "items": None, "ttls": None,
    }  # fmt: skip
    if not all_done:
        columns |= {
            "endings": Array("int2", [outcome.ending for outcome in outcomes]),
            "delays": Array("float8", [outcome.delay for outcome in outcomes]),
            "failures": sparse("bytea", [encode_failure(outcome.failure) for outcome in outcomes]),
            "payloads": sparse("bytea", [outcome.payload for outcome in outcomes]),
            "items": sparse("int4", [outcome.items for outcome in outcomes]),
        }
    results = [outcome.result if outcome.ending is Ending.DONE else None for outcome in outcomes]
    columns["results"] = sparse("bytea", results)
    if columns["results"] is not None:
        columns["ttls"] = Array("float8", [_kept(outcome) for outcome in outcomes])
    return columns | _of_steps(outcomes)


def _kept(outcome: Outcome) -> float:
    """Seconds for which a result is kept: one that others take, until it is seen that they have started, and in any case until then."""
    return max(outcome.result_ttl, KEPT_FAILED) if outcome.passes else outcome.result_ttl


def _of_steps(outcomes: Sequence[Outcome]) -> dict[str, Array | None]:
    steps = [(number, step) for number, outcome in enumerate(outcomes, 1) for step in outcome.steps]
    if not steps:
        names = ("of", "batches", "done", "failed", "retried", "total")
        return {f"step_{name}": None for name in names}
    return {
        "step_of": Array("int4", [number for number, _ in steps]),
        "step_batches": Array("uuid", [step.batch for _, step in steps]),
        "step_done": Array("int8", [step.done for _, step in steps]),
        "step_failed": Array("int8", [step.failed for _, step in steps]),
        "step_retried": Array("int8", [step.retried for _, step in steps]),
        "step_total": Array("int8", [step.total for _, step in steps]),
    }


def in_force_at_most(outcomes: Sequence[Outcome]) -> tuple[list[Outcome], list[Outcome]]:
    """The outcomes that may be in force, in the order of their ids; and those that another of the same job rules out.

    Rows are locked in the order of ids everywhere, so that no two sessions wait for one another.
    """
    latest: dict[bytes, Outcome] = {}
    for outcome in outcomes:
        other = latest.get(outcome.lease.id)
        if other is None or outcome.lease.claim > other.lease.claim:
            latest[outcome.lease.id] = outcome
    if len(latest) == len(outcomes):
        return sorted(outcomes, key=_id), []
    kept = {id(outcome) for outcome in latest.values()}
    return sorted(latest.values(), key=_id), [outcome for outcome in outcomes if id(outcome) not in kept]


def _id(outcome: Outcome) -> bytes:
    return outcome.lease.id


def leases(rows: Sequence[tuple[Any, ...]]) -> list[Lease]:
    """What was claimed, by the rows of `take`."""
    made = [
        Lease(
            id, seq, claim, task, payload, queue, 9 - rank, attempt, crashes, options, batch, items, packed, item, once
        )
        for _, id, seq, claim, task, payload, queue, rank, attempt, crashes, options, batch, items, packed, item, once
        in rows
        if id is not None
    ]  # fmt: skip
    return [lease if lease.queue[:1] != "," else _in_line(lease) for lease in made]


def _in_line(lease: Lease) -> Lease:
    return replace(lease, queue=queue_of(lease.queue), gate=gate_of(lease.queue))


def was_far(rows: Sequence[tuple[Any, ...]]) -> bool:
    """Whether the heads of the queues lay behind much that is dead or held."""
    return bool(rows) and rows[-1][1] is None and rows[-1][2] is not None


def stale(
    outcomes: Sequence[Outcome], ordered: Sequence[Outcome], numbers: Sequence[int] | None, ruled_out: Sequence[Outcome]
) -> list[Outcome]:
    """The outcomes that came too late, in the order they were given."""
    if not numbers and not ruled_out:
        return []
    late = {id(outcome) for outcome in (*ruled_out, *(ordered[number - 1] for number in numbers or ()))}
    return [outcome for outcome in outcomes if id(outcome) in late]


def claims(spent: Sequence[int]) -> Array | None:
    """The numbers of claims that hold nothing any more."""
    return Array("int8", spent) if spent else None
