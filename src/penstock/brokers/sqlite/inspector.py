"""Reading and repairing a SQLite queue."""

from __future__ import annotations

import builtins
import json
import sqlite3
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from penstock.brokers.base import WorkerInfo
from penstock.brokers.inspect import BatchRecord, QueueCounts, Selection, WorkerRecord
from penstock.brokers.sqlite.census import Census
from penstock.brokers.sqlite.flows import Settled
from penstock.brokers.sqlite.side import Side
from penstock.core.job import Failure, JobRecord
from penstock.core.limiter import gate_of, queue_gate, queue_of
from penstock.core.metrics import FINE, Sample, decoded_sample
from penstock.core.standing import COUNTED, Awaited, Standing
from penstock.core.states import State
from penstock.stores import sqlite

#: Jobs in a state that are looked through by themselves, at most.
_FEW = 10_000


class SqliteInspector(Side):
    """See `penstock.brokers.inspect.Inspector`. Made by `SqliteBroker.inspector`, whose connection it uses."""

    def get(self, id: bytes) -> JobRecord | None:
        """See `Inspector.get`."""
        with sqlite.translating(self._path):
            row = self._connection.execute(self._sql["record"], (id,)).fetchone()
        return None if row is None else _record(row)

    def list(self, selection: Selection, *, limit: int = 50, after: bytes | None = None) -> Sequence[JobRecord]:
        """See `Inspector.list`."""
        with sqlite.translating(self._path):
            keys = json.dumps(self._seqs(selection, limit, after))
            return [_record(row) for row in self._connection.execute(self._sql["records"], (keys,)).fetchall()]

    def count(self, *, most: int | None = None) -> Sequence[QueueCounts]:
        """See `Inspector.count`."""
        with sqlite.translating(self._path):
            return Census(self._connection, self._sql, most).queues()

    def workers(self) -> Sequence[WorkerRecord]:
        """See `Inspector.workers`."""
        now = time.monotonic()
        with sqlite.translating(self._path):
            running = dict(self._connection.execute(self._sql["running_of_worker"]).fetchall())
            rows = self._connection.execute(self._sql["workers"]).fetchall()
        return [
            _worker(msgspec.msgpack.decode(info, type=WorkerInfo), now - beat, running) for _, info, beat, _ in rows
        ]

    def metrics(self, since: float, *, span: int = FINE) -> Sequence[Sample]:
        """See `Inspector.metrics`."""
        with sqlite.translating(self._path):
            rows = self._connection.execute(self._sql["metrics"], (span, since)).fetchall()
        return [decoded_sample(*row) for row in rows]

    def result(self, id: bytes, *, now: float | None = None) -> bytes | None:
        """See `Inspector.result`."""
        with sqlite.translating(self._path):
            row = self._connection.execute(
                self._sql["get_result"], (id, time.time() if now is None else now)
            ).fetchone()
        return None if row is None else bytes(row[0])

    def batch(self, id: bytes) -> BatchRecord | None:
        """See `Inspector.batch`."""
        with sqlite.translating(self._path):
            row = self._connection.execute(self._sql["get_batch"], (id,)).fetchone()
        return None if row is None else BatchRecord(id, *row)

    def moved_to(self, id: bytes) -> str | None:
        """See `Inspector.moved_to`."""
        with sqlite.translating(self._path):
            row = self._connection.execute(self._sql["moved_get"], (id,)).fetchone()
        return None if row is None else str(row[0])

    def standing(self, id: bytes) -> Standing | None:
        """See `Inspector.standing`."""
        now = time.time()
        with sqlite.translating(self._path):
            row = self._connection.execute(self._sql["standing"], (id, COUNTED + 1)).fetchone()
            if row is None:
                awaits = self._connection.execute(self._sql["standing_awaits"], (id,)).fetchall()
                return Standing(awaits=tuple(Awaited(*one) for one in awaits)) if awaits else None
            queue, line, turn, ahead = row
            first = self._connection.execute(self._sql["standing_first"], (line,)).fetchone() if turn else None
            names = [gate_of(queue), queue_gate(queue_of(queue))]
            gates = self._moves.gates.states(self._connection, [name for name in names if name is not None], now)
            awaits = self._connection.execute(self._sql["standing_awaits"], (id,)).fetchall()
        return Standing(ahead, None if first is None or first[0] == id else first[0], gates)

    def cancel(self, selection: Selection) -> int:
        """See `Inspector.cancel`."""
        with self._transaction() as connection:
            seqs = self._in_states(selection, _WAITING)
            keys = json.dumps(seqs)
            lines = self._moves.order.lines(connection, keys)
            for statement in ("undelay", "unready", "order_unready", "unpark_jobs", "wait_over", "cancel_jobs"):
                connection.execute(self._sql[statement], (keys,))
            self._moves.order.open(connection, lines)
            connection.execute(self._sql["end_all"], (keys, "cancelled", time.time()))
            connection.execute(self._sql["batch_failed"], (keys, 1))
            settled = self._moves.flows.settle(connection, self._batches(keys), time.time())
            running = json.dumps(self._in_states(selection, (State.RUNNING,)))
            marked = connection.execute(self._sql["mark_cancelled"], (running,)).rowcount
            listeners = self._moves.listeners(connection) if marked or lines or settled.started else []
        self._ring(listeners)
        self._ends.tell(())
        return len(seqs) + marked

    def retry(self, selection: Selection) -> int:
        """See `Inspector.retry`."""
        with self._transaction() as connection:
            count = self.again(connection, self._in_states(selection, _ENDED), time.time())
            listeners = self._moves.listeners(connection) if count else []
        self._ring(listeners)
        return count

    def again(self, connection: sqlite3.Connection, seqs: Sequence[int], now: float) -> int:
        """Within a transaction, have jobs that ended run again, or wait where their stage has not started; returns how many."""
        ready, waiting = self._moves.flows.sort(connection, seqs)
        keys = json.dumps([*ready, *waiting])
        for statement in ("unend", "fresh_attempts", "stages_unended"):
            connection.execute(self._sql[statement], (keys,))
        self._moves.to_the_back(connection, json.dumps(ready), now)
        connection.execute(self._sql["wait_again"], (json.dumps(waiting),))
        connection.execute(self._sql["note_failure"], (json.dumps(waiting), None))
        connection.execute(self._sql["batch_failed"], (keys, -1))
        return len(ready) + len(waiting)

    def purge(self, queue: str) -> int:
        """See `Broker.purge`."""
        with self._transaction() as connection:
            rows = connection.execute(self._sql["queued"], (queue,)).fetchall()
            keys = json.dumps([seq for (seq,) in rows])
            settled = self._uncount(connection, keys)
            for statement in ("undelay", "unready", "order_unready", "delete_jobs"):
                connection.execute(self._sql[statement], (keys,))
            listeners = self._moves.listeners(connection) if settled.started else []
        self._ring(listeners)
        return len(rows)

    def _uncount(self, connection: sqlite3.Connection, keys: str) -> Settled:
        """Jobs that have not ended are about to be deleted: their batches have no such items; of a workflow, they count as failed."""
        connection.execute(self._sql["batch_shrink"], (keys,))
        connection.execute(self._sql["leave_nothing"], (keys,))
        return self._moves.flows.settle(connection, self._batches(keys), time.time())

    def _batches(self, keys: str) -> builtins.list[bytes]:
        return [bytes(id) for (id,) in self._connection.execute(self._sql["batches_of"], (keys,)).fetchall()]

    def delete(self, selection: Selection) -> int:
        """See `Inspector.delete`."""
        with self._transaction() as connection:
            found = json.dumps(self._seqs(selection, -1, None))
            keys = connection.execute(self._sql["not_running"], (found,)).fetchone()[0]
            ended = [seq for state in _ENDED for seq in self._seqs(Selection(state=state), -1, None)]
            gone = set(json.loads(keys))
            # A job that ended is counted in its batch already; one that waits takes its items with it.
            settled = self._uncount(connection, json.dumps(sorted(gone.difference(ended))))
            lines = self._moves.order.lines(connection, keys)
            for statement in (
                "undelay",
                "unready",
                "order_unready",
                "unpark_jobs",
                "wait_over",
                "unend",
                # Only now of those that had ended: what has started meanwhile has been handed their failures.
                "leave_nothing",
                "delete_jobs",
            ):
                connection.execute(self._sql[statement], (keys,))
            self._moves.order.open(connection, lines)
            listeners = self._moves.listeners(connection) if lines or settled.started else []
        self._ring(listeners)
        self._ends.tell(())
        return len(gone)

    def _in_states(self, selection: Selection, states: Sequence[State]) -> builtins.list[int]:
        """The jobs that fit and are in one of these states."""
        wanted = [
            msgspec.structs.replace(selection, state=state)
            for state in states
            if selection.state is None or selection.state is state
        ]
        return [seq for each in wanted for seq in self._seqs(each, -1, None)]

    def _seqs(self, selection: Selection, limit: int, after: bytes | None) -> builtins.list[int]:
        """The keys of the jobs that fit; a `limit` of -1 is none."""
        if selection.state is State.DONE:
            return []
        state = None if selection.state is None else selection.state.value
        values: tuple[object, ...] = (state, selection.queue, selection.task, selection.batch, after, limit)
        if selection.ids is not None:
            found = (self._connection.execute(self._sql["seq_of"], (id,)).fetchone() for id in selection.ids)
            values = (*values, json.dumps([row[0] for row in found if row is not None]))
            statement = "select_among"
        elif selection.batch is not None:
            statement = "select_batch"
        elif (few := self._few(selection.state)) is not None:
            values = (*values, json.dumps(few))
            statement = "select_among"
        else:
            statement = "select_ended" if selection.state in _ENDED else "select_jobs"
        return [seq for (seq,) in self._connection.execute(self._sql[statement], values).fetchall()]

    def _few(self, state: State | None) -> builtins.list[int] | None:
        """The jobs in a state that few are in: to find them among all the others, each would be looked at. None where they are many."""
        if state is None or state in _ENDED:
            return None
        # Of those that keep an order, the ready ones are on no list.
        if state is State.READY and self._connection.execute(self._sql["order_any"]).fetchone()[0]:
            return None
        found = self._connection.execute(self._sql["few"], (state.value, _FEW + 1)).fetchall()
        return None if len(found) > _FEW else [seq for (seq,) in found]


_WAITING = (State.READY, State.DELAYED, State.PARKED, State.WAITING)
_ENDED = (State.DEAD, State.CANCELLED)


def _record(row: tuple[Any, ...]) -> JobRecord:
    (id, task, queue, priority, state, attempt, crashes, created_at, payload, items, packed, item, batch, unique, run_at,
     ended_at, failure, worker, process) = row  # fmt: skip
    return JobRecord(
        id=id, task=task, queue=queue_of(queue), gate=gate_of(queue), priority=priority, state=State(state), attempt=attempt, crashes=crashes,
        created_at=created_at, payload=payload, items=items, packed=bool(packed), item=item, batch=batch, unique=unique,
        run_at=run_at if state == State.DELAYED else None, ended_at=ended_at,
        failure=None if failure is None else msgspec.msgpack.decode(failure, type=Failure),
        worker=None if worker is None else f"{worker}/{process}",
    )  # fmt: skip


def _worker(info: WorkerInfo, silent_for: float, running: dict[str, int]) -> WorkerRecord:
    return WorkerRecord(
        info.id, info.host, info.pid, info.pool, info.slots, info.queues, info.started_at, silent_for,
        running.get(info.id, 0), info.jobs, info.lanes, info.trouble,
    )  # fmt: skip
