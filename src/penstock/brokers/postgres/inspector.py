"""Reading and repairing a PostgreSQL queue."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

import msgspec

from penstock.brokers.base import WorkerInfo
from penstock.brokers.inspect import BatchRecord, QueueCounts, Selection, WorkerRecord
from penstock.brokers.postgres.arrays import Array
from penstock.brokers.postgres.census import STATES, Census, state_of
from penstock.brokers.postgres.link import Link
from penstock.core.job import Failure, JobRecord
from penstock.core.limiter import Limit, OpenGate, gate_of, limit_name, queue_gate, queue_of
from penstock.core.metrics import FINE, Sample, decoded_sample
from penstock.core.standing import COUNTED, Awaited, Standing, gate_state
from penstock.core.states import State

#: First those that others may start, or stop, as they are cancelled.
_WAITING = (State.WAITING, State.READY, State.DELAYED, State.PARKED)
_ENDED = (State.DEAD, State.CANCELLED)
#: Statements after which a job may have ended.
_ENDING = frozenset({"cancel", "delete"})
#: Jobs changed in one statement.
_CHUNK = 10_000


class PostgresInspector:
    """See `penstock.brokers.inspect.Inspector`. Made by `PostgresBroker.inspector`, whose connection it uses."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def get(self, id: bytes) -> JobRecord | None:
        """See `Inspector.get`."""
        rows = self._link.run("records", ids=Array("uuid", [id]))
        return _record(rows[0]) if rows else None

    def list(self, selection: Selection, *, limit: int = 50, after: bytes | None = None) -> Sequence[JobRecord]:
        """See `Inspector.list`."""
        found = self._ids(selection, limit, after)
        return [_record(row) for row in self._link.run("records", ids=Array("uuid", found))]

    def count(self, *, most: int | None = None) -> Sequence[QueueCounts]:
        """See `Inspector.count`."""
        return Census(self._link, most).queues()

    def workers(self) -> Sequence[WorkerRecord]:
        """See `Inspector.workers`."""
        return [_worker(info, silent_for, running) for info, silent_for, running in self._link.run("workers")]

    def metrics(self, since: float, *, span: int = FINE) -> Sequence[Sample]:
        """See `Inspector.metrics`."""
        return [decoded_sample(*row) for row in self._link.run("metrics", span=span, since=since)]

    def result(self, id: bytes, *, now: float | None = None) -> bytes | None:
        """See `Inspector.result`."""
        rows = self._link.run("result", id=id.hex(), at=now)
        return bytes(rows[0][0]) if rows else None

    def batch(self, id: bytes) -> BatchRecord | None:
        """See `Inspector.batch`."""
        rows = self._link.run("batch", id=id.hex())
        return BatchRecord(id, *rows[0]) if rows else None

    def moved_to(self, id: bytes) -> str | None:
        """See `Inspector.moved_to`."""
        rows = self._link.run("moved_get", id=id)
        return str(rows[0][0]) if rows else None

    def standing(self, id: bytes) -> Standing | None:
        """See `Inspector.standing`."""
        rows = self._link.run("standing", id=id.hex(), most=COUNTED + 1)
        if not rows:
            awaits = tuple(Awaited(*row) for row in self._link.run("standing_awaits", id=id.hex()))
            return Standing(awaits=awaits) if awaits else None
        queue, ahead, first, now = rows[0]
        names = [name for name in (gate_of(queue), queue_gate(queue_of(queue))) if name is not None]
        terms: dict[str, bytes] = dict(
            self._link.run("standing_limits", names=Array("text", [limit_name(name) for name in names]))
        )
        limits = {
            name: msgspec.msgpack.decode(terms[limit_name(name)], type=Limit)
            for name in names
            if limit_name(name) in terms
        }
        states = self._link.run("lock_gates", names=Array("text", list(limits))) if limits else []
        gates = (
            gate_state(name, OpenGate(limits[name], paid_until, running, now), now)
            for name, paid_until, running in states
        )
        return Standing(ahead, None if first == id else first, tuple(gates))

    def cancel(self, selection: Selection) -> int:
        """See `Inspector.cancel`."""
        # What starts in between is found by the second look.
        return self._change("cancel", selection, _WAITING) + self._change("cancel_running", selection, (State.RUNNING,))

    def retry(self, selection: Selection) -> int:
        """See `Inspector.retry`."""
        return self._change("retry", selection, _ENDED)

    def delete(self, selection: Selection) -> int:
        """See `Inspector.delete`."""
        return self._change("delete", selection, tuple(STATES))

    def _change(self, name: str, selection: Selection, states: Sequence[State]) -> int:
        """Run a statement on the jobs that fit and are in one of these states; returns how many it changed.

        The jobs are looked up first and checked again where they are changed, so that a deep queue is not locked as a
        whole while workers go on.
        """
        wanted = states if selection.state is None else [state for state in states if state is selection.state]
        changed = 0
        for state in wanted:
            chosen = self._ids(msgspec.structs.replace(selection, state=state), None, None)
            for start in range(0, len(chosen), _CHUNK):
                part = Array("uuid", chosen[start : start + _CHUNK])
                changed += int(self._link.run(name, ids=part)[0][0])
        if changed and name in _ENDING:
            self._link.run("ends_tell", ids=Array("uuid", ()))
        return changed

    def _ids(self, selection: Selection, limit: int | None, after: bytes | None) -> builtins.list[bytes]:
        """The jobs that fit, in the order of their ids."""
        ids = selection.ids
        if ids is None and selection.state is State.RUNNING:
            ids = tuple(id for (id,) in self._link.run("running"))
        state, held = (None, None) if selection.state is None else STATES.get(selection.state, (-1, None))
        rows = self._link.run(
            "select_jobs",
            ids=None if ids is None else Array("uuid", ids),
            state=state, held=held, queue=selection.queue, task=selection.task,
            batch=_hex(selection.batch), after=_hex(after), most=limit,
        )  # fmt: skip
        return [id for (id,) in rows]


def _hex(id: bytes | None) -> str | None:
    return None if id is None else id.hex()


def _record(row: tuple[Any, ...]) -> JobRecord:
    (id, task, queue, priority, state, held, attempt, crashes, created_at, payload, items, packed, item, batch, unique,
     run_at, ended_at, failure, worker, process) = row  # fmt: skip
    stands = state_of(state, held)
    return JobRecord(
        id=id, task=task, queue=queue_of(queue), gate=gate_of(queue), priority=priority, state=stands, attempt=attempt, crashes=crashes,
        created_at=created_at, payload=payload, items=items, packed=packed, item=item, batch=batch, unique=unique,
        run_at=run_at if stands is State.DELAYED else None, ended_at=ended_at,
        failure=None if failure is None else msgspec.msgpack.decode(failure, type=Failure),
        worker=None if worker is None else f"{worker}/{process}",
    )  # fmt: skip


def _worker(info: bytes, silent_for: float, running: int) -> WorkerRecord:
    said = msgspec.msgpack.decode(info, type=WorkerInfo)
    return WorkerRecord(
        said.id, said.host, said.pid, said.pool, said.slots, said.queues, said.started_at, max(0.0, silent_for),
        running, said.jobs, said.lanes, said.trouble,
    )  # fmt: skip
