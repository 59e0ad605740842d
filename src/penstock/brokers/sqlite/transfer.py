"""How jobs leave a SQLite queue and arrive in it; each shipment in one transaction."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from typing import Any

from penstock.brokers.sqlite.order import ordered_lines
from penstock.brokers.sqlite.side import Side
from penstock.brokers.transfer import REMEMBERED, WORKFLOWS_STAY, Arrival, Left, Pending
from penstock.core.limiter import gate_of, line, queue_of
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
from penstock.stores import sqlite


class SqliteTransfer(Side):
    """See `penstock.brokers.transfer.Transfer`. Made by `SqliteBroker.transfer`, whose connection it uses."""

    def _rows(self, name: str, *values: object) -> list[Any]:
        """Run a statement that reads, or one inside a transaction; returns its rows."""
        with sqlite.translating(self._path):
            return self._connection.execute(self._sql[name], values).fetchall()

    def name(self) -> bytes:
        """See `Transfer.name`."""
        found = self._rows("note_get", "name")
        if not found:
            with self._transaction():
                found = self._rows("note_get", "name") or [(os.urandom(16),)]
                self._rows("note_set", "name", *found[0])
        return bytes(found[0][0])

    def ship(
        self, bound_for: bytes, place: str, queues: Sequence[str] | None, most: int, *, now: float | None = None
    ) -> tuple[int, Shipment] | None:
        """See `Transfer.ship`."""
        now = time.time() if now is None else now
        with self._transaction():
            if self._rows("workflows_open"):
                raise MissingFeature(WORKFLOWS_STAY)
            chosen = self._chosen(queues, most)
            seqs = chosen[: fitting(self._rows("ship_sizes", json.dumps(chosen)))]
            keys = json.dumps(seqs)
            steps = [Step(*row) for row in self._rows("ship_counters", keys)]
            jobs = self._take(seqs, keys)
            left = most - len(chosen)
            results: list[KeptResult] = []
            if left > 0:
                taken = {step.batch for step in steps}
                others = [Step(*row) for row in self._rows("ship_all_counters", queues is None, left)]
                steps += [step for step in others if step.batch not in taken]
            if left > 0 and queues is None:
                results = [KeptResult(*row) for row in self._rows("ship_results", now, min(left, MOST_RESULTS))]
                results = results[: fitting((len(one.value), None) for one in results)]
                for one in results:
                    self._rows("ship_forget", one.id)
            for step in steps:
                self._rows("ship_zero", step.batch)
            shipment = Shipment(os.urandom(16), tuple(jobs), tuple(results), tuple(steps))
            if shipment.is_empty:
                return None
            self._rows("moved_add", shipment.ids, place, now)
            self._rows("moved_prune", now - REMEMBERED)
            ((number,),) = self._rows("ship_add", bound_for, encode_shipment(shipment))
        return number, shipment

    def _chosen(self, queues: Sequence[str] | None, most: int) -> list[int]:
        """The seqs of jobs that may leave, in the order in which they go."""
        chosen: list[int] = []
        name: str | None = ""
        while len(chosen) < most:
            ((name,),) = self._rows("ship_names", name)
            if name is None:
                break
            if queues is None or queue_of(name) in queues:
                chosen += [seq for (seq,) in self._rows("ship_ready", name, most - len(chosen))]
        named = None if queues is None else json.dumps(list(queues))
        if len(chosen) < most:
            chosen += self._ordered(named, most - len(chosen))
        for statement in ("ship_delayed", "ship_parked", "ship_ended"):
            if len(chosen) < most:
                chosen += [seq for (seq,) in self._rows(statement, named, most - len(chosen))]
        return chosen

    def _ordered(self, named: str | None, most: int) -> list[int]:
        """Jobs of whole lines, so that nobody here goes on with what is behind those that have left."""
        rows = self._rows("ship_ordered", named, most)
        if len(rows) == most:
            last = rows[-1][1]
            rows = [row for row in rows if row[1] != last] + self._rows("ship_line", last)
        return [seq for seq, _ in rows]

    def _take(self, seqs: Sequence[int], keys: str) -> list[MovedJob]:
        """Read jobs, and delete them."""
        if not seqs:
            return []
        jobs = [_moved(row) for row in self._rows("ship_jobs", keys)]
        for statement in ("undelay", "unready", "order_unready", "unpark_jobs", "unend", "delete_jobs"):
            self._rows(statement, keys)
        return jobs

    def pending(self) -> Sequence[Pending]:
        """See `Transfer.pending`."""
        return [Pending(*row) for row in self._rows("ship_pending")]

    def shipment(self, number: int) -> Shipment | None:
        """See `Transfer.shipment`."""
        found = self._rows("ship_body", number)
        return decode_shipment(found[0][0]) if found else None

    def receive(self, shipment: Shipment) -> Arrival | None:
        """See `Transfer.receive`."""
        jobs = shipment.jobs
        with self._transaction() as connection:
            if connection.execute(self._sql["arrive"], (shipment.id,)).rowcount == 0:
                return None
            before, sockets = connection.execute(self._sql["frontier"]).fetchone()
            self._moves.gates.stored(connection, jobs)
            lines = ordered_lines(jobs)
            placed = list(enumerate(jobs, before + 1))
            rows = (_row(seq, job, lines) for seq, job in placed)
            stored = max(0, connection.executemany(self._sql["arrive_jobs"], rows).rowcount)
            self._stand(placed)
            self._moves.order.open(connection, lines.values())
            steps = list(shipment.steps)
            if stored < len(jobs):
                there = {seq for (seq,) in self._rows("arrive_stored", before)}
                steps += [step for seq, job in placed if seq not in there and (step := uncounted(job)) is not None]
            for step in steps:
                self._rows("batch_step", step.batch, step.done, step.failed, step.retried, step.total)
            for result in shipment.results:
                self._rows("arrive_result", result.id, result.value, result.expires_at)
            self._rows("moved_clear")
        self._ring(sockets.split("/") if sockets else [])
        return Arrival(stored, len(jobs) - stored)

    def _stand(self, placed: Sequence[tuple[int, MovedJob]]) -> None:
        """Put jobs that are stored into the tables that tell where they stand."""
        by_state: dict[State, list[int]] = {}
        ended: list[tuple[int, str, float]] = []
        for seq, job in placed:
            if job.state in _ENDED:
                ended.append((seq, job.state.value, job.created_at if job.ended_at is None else job.ended_at))
            else:
                by_state.setdefault(job.state, []).append(seq)
        for state, seqs in by_state.items():
            self._rows(f"arrive_{state.value}", json.dumps(seqs))
        if ended:
            self._rows("arrive_ended", json.dumps(ended))

    def discard(self, number: int) -> None:
        """See `Transfer.discard`."""
        with self._transaction():
            self._rows("ship_discard", number)

    def settle(self, ids: Sequence[bytes], *, now: float | None = None) -> None:
        """See `Transfer.settle`."""
        now = time.time() if now is None else now
        with self._transaction():
            for id in ids:
                self._rows("arrival_settle", id, now)
            self._rows("arrival_prune", now - REMEMBERED)

    def left(self, queues: Sequence[str] | None, *, now: float | None = None) -> Left:
        """See `Transfer.left`."""
        named = None if queues is None else json.dumps(list(queues))
        ((jobs, held, results, counters),) = self._rows("ship_left", named, time.time() if now is None else now)
        return Left(jobs + results + counters, held)


_ENDED = (State.DEAD, State.CANCELLED)


def _moved(row: Sequence[Any]) -> MovedJob:
    (id, task, payload, state, created_at, stored, priority, options, attempt, crashes, batch, items, packed, item, once, unique, run_at, since,
     ended_at, failure, turn) = row  # fmt: skip
    state = State(state)
    return MovedJob(
        id, task, payload, state, created_at, queue_of(stored), priority, options, attempt, crashes, batch, items, bool(packed), item, bool(once),
        unique, run_at if state is State.DELAYED else None, since, ended_at, failure, gate_of(stored), bool(turn),
    )  # fmt: skip


def _row(seq: int, job: MovedJob, lines: dict[str, int]) -> tuple[object, ...]:
    name = line(job.queue, job.gate)
    number = lines.get(name)
    turn = None if number is None else seq if job.placed else 0
    return (
        seq, job.id, job.task, job.payload, job.created_at, name, job.priority, job.options, job.attempt, job.crashes, job.batch, job.items,
        job.packed, job.item, job.at_most_once, job.unique, job.run_at, job.since, job.failure, number, turn,
    )  # fmt: skip
