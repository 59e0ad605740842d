"""The workflows of a PostgreSQL queue: storing, reading, cancelling and resuming them. Its functions start and stop the stages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from penstock.brokers.inspect import Selection
from penstock.brokers.postgres.arrays import Array
from penstock.brokers.postgres.inspector import PostgresInspector
from penstock.brokers.postgres.joined import joined
from penstock.brokers.postgres.link import Link, Session
from penstock.brokers.postgres.storing import store
from penstock.brokers.workflows import CALLED_OFF, StageRecord, WorkflowRecord, cut
from penstock.core.job import NewJob
from penstock.core.workflow import NewWorkflow, Rule, StageState, check, kept
from penstock.stores import postgres

#: Jobs that are stored by one statement.
_CHUNK = 10_000
#: A time to run at for jobs that wait until they wait, in epoch seconds: nobody sees it.
_NEVER = 9e12


class PostgresWorkflows:
    """See `penstock.brokers.workflows.Workflows`. Made by `PostgresBroker.workflows`, whose connection it uses."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._inspector = PostgresInspector(link)

    def start(self, workflow: NewWorkflow, *, now: float | None = None, tx: object | None = None) -> None:
        """See `Workflows.start`; `tx` is as in `PostgresBroker.enqueue`."""
        check(workflow)
        if tx is not None:
            session = joined(tx, self._link.sql)
            with postgres.translating(self._link.url.shown):
                self._store(session, workflow, now)
            return
        with self._link.transaction() as session:
            self._store(session, workflow, now)

    def _store(self, session: Session, workflow: NewWorkflow, now: float | None) -> None:
        if not session.run("workflow_add", id=workflow.id.hex(), title=workflow.name, at=now):
            return
        stages = workflow.stages
        afters = [list(dict.fromkeys(stage.after)) for stage in stages]
        session.run(
            "stages_add",
            workflow=workflow.id.hex(),
            at=now,
            ids=Array("uuid", [stage.id for stage in stages]),
            totals=Array("int8", [len(stage.jobs) for stage in stages]),
            names=Array("text", [stage.name for stage in stages]),
            rules=Array("int2", [stage.rule for stage in stages]),
            opens=Array("int4", [len(after) for after in afters]),
            afters=Array("bytea", [b"".join(after) for after in afters]),
            takes=Array("bytea", [b"".join(stage.takes) for stage in stages]),
            firsts=Array("uuid", [stage.jobs[0].id if stage.jobs else None for stage in stages]),
        )
        edges = [(batch, stage.id) for stage, after in zip(stages, afters, strict=True) for batch in after]
        _run_pairs(session, "edges_add", "batches", "stages", edges)
        wanted = kept(workflow)
        members = [(stage.id, job.id) for stage in stages if stage.id in wanted for job in stage.jobs]
        _run_pairs(session, "members_add", "stages", "jobs", members)
        self._store_jobs(session, [job for stage in stages if not stage.after for job in stage.jobs], now)
        self._store_waiting(session, [job for stage in stages if stage.after for job in stage.jobs], now)
        empty = [stage.id for stage in stages if not stage.after and not stage.jobs]
        if empty:
            session.run("settle", ids=Array("uuid", empty), at=now)

    def _store_jobs(self, session: Session, jobs: Sequence[NewJob], now: float | None) -> None:
        for start in range(0, len(jobs), _CHUNK):
            store(session, jobs[start : start + _CHUNK], now, grow=False)

    def _store_waiting(self, session: Session, jobs: Sequence[NewJob], now: float | None) -> None:
        """Store jobs that wait for their stages: as delayed ones, which nobody sees before they are made to wait."""
        self._store_jobs(
            session,
            [replace(job, delay=None, run_at=_NEVER if job.run_at is None else job.run_at) for job in jobs],
            now,
        )
        for start in range(0, len(jobs), _CHUNK):
            some = jobs[start : start + _CHUNK]
            dated = [job.id for job in some if job.run_at is not None]
            session.run("wait_new", ids=Array("uuid", [job.id for job in some]), dated=Array("uuid", dated))
        later = [job for job in jobs if job.delay and job.run_at is None]
        if later:
            delays = Array("float8", [job.delay for job in later])
            session.run("later_add", ids=Array("uuid", [job.id for job in later]), delays=delays)

    def get(self, id: bytes) -> WorkflowRecord | None:
        """See `Workflows.get`."""
        found = self._link.run("workflow", id=id.hex())
        if not found:
            return None
        its, name, created_at = found[0]
        return WorkflowRecord(its, name, created_at, self._stages(self._link, its))

    def _stages(self, session: Session | Link, id: bytes) -> tuple[StageRecord, ...]:
        return tuple(_stage(row) for row in session.run("workflow_stages", id=id.hex()))

    def cancel(self, id: bytes, *, now: float | None = None) -> int:
        """See `Workflows.cancel`."""
        cancelled = 0
        with self._link.transaction() as session:
            # In the order in which others settle them.
            for stage in self._stages(session, id):
                ((state, waiting),) = session.run("stage_lock", id=stage.id.hex())
                if state == StageState.WAITING:
                    cancelled += int(waiting)
                    session.run("stage_stop", id=stage.id.hex(), reason=CALLED_OFF, at=now)
        started = [stage.id for stage in self._stages(self._link, id) if stage.state is StageState.STARTED]
        return cancelled + sum(self._inspector.cancel(Selection(batch=stage)) for stage in started)

    def resume(self, id: bytes, *, now: float | None = None) -> int:
        """See `Workflows.resume`."""
        resumed = 0
        with self._link.transaction() as session:
            stages = self._stages(session, id)
            for stage in stages:
                if stage.state in (StageState.STARTED, StageState.WAITING) and stage.failed:
                    ended = [one for (one,) in session.run("ended_of", id=stage.id.hex())]
                    resumed += int(session.run("retry", ids=Array("uuid", ended))[0][0])
            for stage in stages:
                if stage.state is StageState.CANCELLED:
                    after = Array("uuid", list(dict.fromkeys(stage.after)))
                    resumed += int(session.run("stage_reset", id=stage.id.hex(), after=after)[0][0])
            session.run("settle", ids=Array("uuid", [stage.id for stage in stages]), at=now)
        return resumed


def _run_pairs(session: Session, name: str, left: str, right: str, pairs: Sequence[tuple[bytes, bytes]]) -> None:
    """Run a statement on two columns of ids, where there are any."""
    if pairs:
        ones, others = zip(*pairs, strict=True)
        session.run(name, **{left: Array("uuid", ones), right: Array("uuid", others)})


def _stage(row: tuple[Any, ...]) -> StageRecord:
    id, name, state, rule, after, total, done, failed, retried, *rest = row
    return StageRecord(id, name, StageState(state), Rule(rule), tuple(cut(after)), total, done, failed, retried, *rest)
