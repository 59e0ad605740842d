"""The workflows of a SQLite queue: storing, reading, cancelling and resuming them."""

from __future__ import annotations

import sqlite3
import time
from typing import Any

from penstock.brokers.inspect import Selection
from penstock.brokers.sqlite.inspector import SqliteInspector
from penstock.brokers.sqlite.side import Parts, Side
from penstock.brokers.workflows import CALLED_OFF, StageRecord, WorkflowRecord, cut
from penstock.core.workflow import NewStage, NewWorkflow, Rule, StageState, check, kept
from penstock.stores import sqlite


class SqliteWorkflows(Side):
    """See `penstock.brokers.workflows.Workflows`. Made by `SqliteBroker.workflows`, whose connection it uses."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self._inspector = SqliteInspector(parts)

    def start(self, workflow: NewWorkflow, *, now: float | None = None, tx: object | None = None) -> None:
        """See `Workflows.start`; `tx` is a `sqlite3.Connection` to the same file."""
        check(workflow)
        now = time.time() if now is None else now
        if tx is not None:
            with sqlite.translating(self._path):
                self._store(self._joined(tx), workflow, now)
            return
        with self._transaction() as connection:
            self._store(connection, workflow, now)
            listeners = self._moves.listeners(connection)
        self._ring(listeners)

    def _store(self, connection: sqlite3.Connection, workflow: NewWorkflow, now: float) -> None:
        added = connection.execute(self._sql["workflow_add"], (workflow.id, workflow.name, now))
        if not added.rowcount:
            return
        wanted = kept(workflow)
        rows = [
            _row(workflow.id, place, stage, wanted.get(stage.id, 0), now) for place, stage in enumerate(workflow.stages)
        ]
        connection.executemany(self._sql["stage_add"], rows)
        connection.executemany(self._sql["stage_count"], [(stage.id, len(stage.jobs)) for stage in workflow.stages])
        connection.executemany(
            self._sql["edge_add"], [(batch, stage.id) for stage in workflow.stages for batch in stage.after]
        )
        self._moves.insert(connection, [job for stage in workflow.stages if not stage.after for job in stage.jobs], now)
        waiting = [job for stage in workflow.stages if stage.after for job in stage.jobs]
        self._moves.insert_waiting(connection, waiting, now)
        empty = [stage.id for stage in workflow.stages if not stage.after and not stage.jobs]
        self._moves.flows.settle(connection, empty, now)

    def get(self, id: bytes) -> WorkflowRecord | None:
        """See `Workflows.get`."""
        with sqlite.translating(self._path):
            found = self._connection.execute(self._sql["workflow"], (id,)).fetchone()
            if found is None:
                return None
            rows = self._connection.execute(self._sql["workflow_stages"], found[:1]).fetchall()
        its, name, created_at = found
        return WorkflowRecord(its, name, created_at, tuple(_stage(row) for row in rows))

    def cancel(self, id: bytes, *, now: float | None = None) -> int:
        """See `Workflows.cancel`."""
        now = time.time() if now is None else now
        cancelled = 0
        started: list[bytes] = []
        with self._transaction() as connection:
            for row in connection.execute(self._sql["workflow_stages"], (id,)).fetchall():
                stage = _stage(row)
                if stage.state is StageState.WAITING:
                    cancelled += len(connection.execute(self._sql["waits_of"], (stage.id,)).fetchall())
                    self._moves.flows.cancel(connection, stage.id, CALLED_OFF, now)
                elif stage.state is StageState.STARTED:
                    started.append(stage.id)
        return cancelled + sum(self._inspector.cancel(Selection(batch=stage)) for stage in started)

    def resume(self, id: bytes, *, now: float | None = None) -> int:
        """See `Workflows.resume`."""
        now = time.time() if now is None else now
        flows = self._moves.flows
        resumed = 0
        with self._transaction() as connection:
            stages = [_stage(row) for row in connection.execute(self._sql["workflow_stages"], (id,)).fetchall()]
            for stage in stages:
                if stage.state is StageState.CANCELLED:
                    connection.executemany(self._sql["edge_add"], [(batch, stage.id) for batch in set(stage.after)])
                    connection.execute(self._sql["stage_reset"], (stage.id, len(set(stage.after))))
                if stage.failed:
                    ended = [seq for (seq,) in connection.execute(self._sql["ended_of"], (stage.id,)).fetchall()]
                    resumed += self._inspector.again(connection, ended, now)
            flows.settle(connection, [stage.id for stage in stages], now)
            listeners = self._moves.listeners(connection) if resumed else []
        self._ring(listeners)
        return resumed


def _row(workflow: bytes, place: int, stage: NewStage, wanted: int, now: float) -> tuple[object, ...]:
    after = list(dict.fromkeys(stage.after))
    state = StageState.WAITING if after else StageState.STARTED
    return (
        stage.id, workflow, place, stage.name, int(stage.rule), state.value, len(after), b"".join(after), b"".join(stage.takes),
        wanted, stage.jobs[0].id if stage.jobs else None, None if after else now,
    )  # fmt: skip


def _stage(row: tuple[Any, ...]) -> StageRecord:
    id, name, state, rule, after, total, done, failed, retried, *rest = row
    return StageRecord(id, name, StageState(state), Rule(rule), tuple(cut(after)), total, done, failed, retried, *rest)
