"""How jobs leave a PostgreSQL queue and arrive in it; each shipment in one transaction."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from penstock.brokers.postgres.arrays import Array, column, sparse
from penstock.brokers.postgres.link import Link, Session
from penstock.brokers.transfer import REMEMBERED, WORKFLOWS_STAY, Arrival, Left, Pending
from penstock.core.limiter import gate_of, is_ordered, line, queue_of
from penstock.core.outcome import Step
from penstock.core.shipment import (
    MOST_RESULTS,
    KeptResult,
    MovedJob,
    Shipment,
    decode_shipment,
    encode_shipment,
    fitting,
    uncounted,
)
from penstock.core.states import State
from penstock.errors import MissingFeature

_STATES = (State.READY, State.DELAYED, State.PARKED, State.DEAD, State.CANCELLED)
_NUMBERS = {state: number for number, state in enumerate(_STATES)}
#: A job's id, the bytes of its payload, and its line where it keeps an order.
_Chosen = tuple[Any, ...]
#: The rank of all jobs that keep an order.
_ORDERED = 4


class PostgresTransfer:
    """See `penstock.brokers.transfer.Transfer`. Made by `PostgresBroker.transfer`, whose connection it uses."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def name(self) -> bytes:
        """See `Transfer.name`."""
        found = self._link.run("note_get", which="name")
        if not found:
            self._link.run("note_name", value=os.urandom(16))
            found = self._link.run("note_get", which="name")
        return bytes(found[0][0])

    def ship(
        self, bound_for: bytes, place: str, queues: Sequence[str] | None, most: int, *, now: float | None = None
    ) -> tuple[int, Shipment] | None:
        """See `Transfer.ship`."""
        named = None if queues is None else Array("text", queues)
        with self._link.transaction() as session:
            session.run("ship_lock")
            if session.run("workflows_open"):
                raise MissingFeature(WORKFLOWS_STAY)
            chosen = list(self._chosen(session, queues, named, most))
            going = fitting((size, line) for _, size, line in chosen)
            jobs = self._take(session, [id for id, *_ in chosen[:going]])
            left = most - len(chosen)
            batches = sorted({job.batch for job in jobs if job.batch is not None})
            steps = [Step(*row) for row in session.run("ship_counters", ids=Array("uuid", batches))] if batches else []
            results: list[KeptResult] = []
            if left > 0:
                taken = {step.batch for step in steps}
                others = session.run("ship_all_counters", all=queues is None, most=left)
                steps += [Step(*row) for row in others if row[0] not in taken]
            if left > 0 and queues is None:
                results = [
                    KeptResult(*row) for row in session.run("ship_results", most=min(left, MOST_RESULTS), at=now)
                ]
                results = results[: fitting((len(one.value), None) for one in results)]
                session.run("ship_forget", ids=Array("uuid", [one.id for one in results]))
            if steps:
                session.run("ship_zero", ids=Array("uuid", [step.batch for step in steps]))
            shipment = Shipment(os.urandom(16), tuple(jobs), tuple(results), tuple(steps))
            if shipment.is_empty:
                return None
            session.run("moved_add", ids=shipment.ids, place=place, remembered=REMEMBERED)
            ((number,),) = session.run("ship_add", bound_for=bound_for, body=encode_shipment(shipment))
        return int(number), shipment

    def _chosen(
        self, session: Session, queues: Sequence[str] | None, named: Array | None, most: int
    ) -> Iterator[_Chosen]:
        """Jobs that may leave, in the order in which they go; all of them locked."""
        after = ""
        while most > 0 and (rows := session.run("ship_names", after=after)):
            ((after,),) = rows
            if is_ordered(gate_of(after)):
                # What keeps an order goes by lines, of which there may be many.
                after = f",{queue_of(after)},>"
            elif queues is None or queue_of(after) in queues:
                ready = session.run("ship_ready", line=after, most=most)
                most -= len(ready)
                yield from ready
        if most > 0:
            ordered = self._ordered(session, named, most)
            most -= len(ordered)
            yield from ordered
        for statement in ("ship_delayed", "ship_parked", "ship_ended"):
            if most > 0:
                others = session.run(statement, queues=named, most=most)
                most -= len(others)
                yield from others

    def _ordered(self, session: Session, named: Array | None, most: int) -> list[_Chosen]:
        """Jobs of whole lines, so that nobody here goes on with what is behind those that have left."""
        names = [name for (name,) in session.run("ship_lines", queues=named, most=most)]
        held = session.run("ship_hold", names=Array("text", names)) if names else []
        if not held:
            return []
        rows = session.run("ship_ordered", names=Array("text", [name for name, _ in held]))
        session.run("ship_let_go", claim=held[0][1])
        return rows

    def _take(self, session: Session, ids: Sequence[bytes]) -> list[MovedJob]:
        """Read jobs, and delete them."""
        if not ids:
            return []
        found = {row[0]: row for row in session.run("ship_take", ids=Array("uuid", ids))}
        return [_moved(found[id]) for id in ids]

    def pending(self) -> Sequence[Pending]:
        """See `Transfer.pending`."""
        return [Pending(*row) for row in self._link.run("ship_pending")]

    def shipment(self, number: int) -> Shipment | None:
        """See `Transfer.shipment`."""
        found = self._link.run("ship_body", number=number)
        return decode_shipment(found[0][0]) if found else None

    def receive(self, shipment: Shipment) -> Arrival | None:
        """See `Transfer.receive`."""
        with self._link.transaction() as session:
            if not session.run("arrive", id=shipment.id.hex()):
                return None
            stored = self._store(session, shipment.jobs)
            left_out = (
                [job for job in shipment.jobs if job.id not in stored] if len(stored) < len(shipment.jobs) else []
            )
            steps = [*shipment.steps, *(step for job in left_out if (step := uncounted(job)) is not None)]
            if steps:
                session.run("arrive_counters", **_counters(steps))
            if shipment.results:
                session.run("arrive_results", **_results(shipment.results))
            session.run("moved_clear")
            session.run("ring")
        return Arrival(len(stored), len(left_out))

    def _store(self, session: Session, jobs: Sequence[MovedJob]) -> set[bytes]:
        """Store jobs; returns the ids of those that were not there."""
        if not jobs:
            return set()
        lines = {(job.queue, job.gate) for job in jobs if job.gate is not None and not is_ordered(job.gate)}
        if lines:
            session.run("look", names=Array("text", sorted(line(*one) for one in lines)), due=0.0)
        return {id for (id,) in session.run("arrive_jobs", **_columns(jobs))}

    def discard(self, number: int) -> None:
        """See `Transfer.discard`."""
        self._link.run("ship_discard", number=number)

    def settle(self, ids: Sequence[bytes], *, now: float | None = None) -> None:
        """See `Transfer.settle`."""
        self._link.run("arrival_settle", ids=Array("uuid", ids), remembered=REMEMBERED, at=now)

    def left(self, queues: Sequence[str] | None, *, now: float | None = None) -> Left:
        """See `Transfer.left`."""
        named = None if queues is None else Array("text", queues)
        ((jobs, held, results, counters),) = self._link.run("ship_left", queues=named, at=now)
        return Left(jobs + results + counters, held)


def _moved(row: Sequence[Any]) -> MovedJob:
    (id, task, payload, number, created_at, stored, rank, options, attempt, crashes, batch, items, packed, item, once, unique, run_at, since,
     ended_at, failure, waits) = row  # fmt: skip
    state, gate = _STATES[number], gate_of(stored)
    return MovedJob(
        id, task, payload, state, created_at, queue_of(stored), 9 - rank, options, attempt, crashes, batch, items, packed, item, once, unique,
        run_at if state is State.DELAYED else None, since, ended_at, failure, gate, waits or (state is State.READY and is_ordered(gate)),
    )  # fmt: skip


def _columns(jobs: Sequence[MovedJob]) -> dict[str, Array | None]:
    return {
        "ids": Array("uuid", [job.id for job in jobs]),
        "tasks": column("text", [job.task for job in jobs]),
        "payloads": Array("bytea", [job.payload for job in jobs]),
        "states": column("int2", [_NUMBERS[job.state] for job in jobs]),
        "created_ats": Array("float8", [job.created_at for job in jobs]),
        "queues": column("text", [line(job.queue, job.gate) for job in jobs]),
        "ranks": column("int2", [_ORDERED if is_ordered(job.gate) else 9 - job.priority for job in jobs]),
        "options": sparse("bytea", [job.options for job in jobs]),
        "attempts": column("int4", [job.attempt for job in jobs]),
        "crashes": column("int4", [job.crashes for job in jobs]),
        "batches": sparse("uuid", [job.batch for job in jobs]),
        "items": column("int4", [job.items for job in jobs]),
        "packed": column("bool", [job.packed for job in jobs]),
        "item": sparse("int8", [job.item for job in jobs]),
        "once": column("bool", [job.at_most_once for job in jobs]),
        "uniqs": sparse("text", [job.unique for job in jobs]),
        "run_ats": sparse("float8", [job.run_at for job in jobs]),
        "ready_ats": sparse("float8", [job.since for job in jobs]),
        "ended_ats": sparse("float8", [job.ended_at for job in jobs]),
        "failures": sparse("bytea", [job.failure for job in jobs]),
        "waits": sparse("bool", [True if job.placed and job.state is not State.READY else None for job in jobs]),
    }


def _counters(steps: Sequence[Step]) -> dict[str, Array]:
    return {
        "batches": Array("uuid", [step.batch for step in steps]),
        "done": Array("int8", [step.done for step in steps]),
        "failed": Array("int8", [step.failed for step in steps]),
        "retried": Array("int8", [step.retried for step in steps]),
        "total": Array("int8", [step.total for step in steps]),
    }


def _results(results: Sequence[KeptResult]) -> dict[str, Array]:
    return {
        "ids": Array("uuid", [result.id for result in results]),
        "values": Array("bytea", [result.value for result in results]),
        "expires_ats": Array("float8", [result.expires_at for result in results]),
    }
