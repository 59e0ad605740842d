"""The workflows of a Redis queue: storing, reading, cancelling and resuming them. The scripts that count start and stop the stages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from penstock.brokers.base import refuse_transaction
from penstock.brokers.inspect import Selection
from penstock.brokers.redis.flows import go_on
from penstock.brokers.redis.inspector import RedisInspector
from penstock.brokers.redis.link import Link, moment
from penstock.brokers.redis.messages import encode
from penstock.brokers.redis.record import raw, waiting_tail
from penstock.brokers.workflows import CALLED_OFF, EVERY_WORKFLOW, StageRecord, WorkflowRecord, cut
from penstock.core.handing import takes_results
from penstock.core.job import NewJob
from penstock.core.workflow import NewStage, NewWorkflow, Rule, StageState, check, kept
from penstock.errors import StoreError

#: Jobs, stages and their ties together that one script stores, and about how many bytes; stages that one reads or changes.
_AT_ONCE, _BYTES, _STAGES = 500, 1 << 20, 500
#: A stage as `lua/flow_store.lua` takes it.
_Part = tuple[object, object, list[tuple[object, ...]]]


class RedisWorkflows:
    """See `penstock.brokers.workflows.Workflows`. Made by `RedisBroker.workflows`, whose connection it uses."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._inspector = RedisInspector(link)

    def start(self, workflow: NewWorkflow, *, now: float | None = None, tx: object | None = None) -> None:
        """See `Workflows.start`; Redis has no transaction of the user's to join. A large one is stored by parts, and begins with the last."""
        refuse_transaction(tx, "redis")
        check(workflow)
        parts = _parts(workflow)
        part, number = next(parts, []), 0
        while True:
            following = next(parts, None)
            last = ("", "") if following is not None else (workflow.name, len(workflow.stages))
            stored = self._link.run(
                "flow_store", moment(now), workflow.id, number, EVERY_WORKFLOW, *last, encode(part)
            )  # fmt: skip
            if not int(stored):
                raise StoreError(
                    f"the workflow {workflow.name} was not stored: more than an hour passed between its parts, and they were let go; start it again"
                )
            if following is None:
                break
            part, number = following, number + 1
        go_on(self._link, now)

    def get(self, id: bytes) -> WorkflowRecord | None:
        """See `Workflows.get`."""
        rows: list[Any] = []
        while True:
            found = self._link.run("flow_get", id, len(rows), _STAGES)
            if not found:
                return None
            its, name, created_at, total, *some = found
            rows += some
            if not some or len(rows) >= int(total):
                return WorkflowRecord(its, name.decode(), float(created_at), tuple(map(_stage, rows)))

    def cancel(self, id: bytes, *, now: float | None = None) -> int:
        """See `Workflows.cancel`."""
        found = self.get(id)
        if found is None:
            return 0
        waiting = [stage.id for stage in reversed(found.stages) if stage.state is StageState.WAITING]
        cancelled = sum(
            int(self._link.run("flow_cancel", moment(now), CALLED_OFF, *some)) for some in _some(waiting)
        )  # fmt: skip
        go_on(self._link, now)
        # Some may have started meanwhile.
        after = self.get(id)
        stages = () if after is None else after.stages
        started = [
            stage for stage in stages if stage.state is StageState.STARTED and stage.done + stage.failed < stage.total
        ]
        return cancelled + sum(self._inspector.cancel(Selection(batch=stage.id)) for stage in started)

    def resume(self, id: bytes, *, now: float | None = None) -> int:
        """See `Workflows.resume`. What failed runs again first, so that what waits for it does not hear of the failure once more."""
        found = self.get(id)
        if found is None:
            return 0
        begun = (StageState.STARTED, StageState.WAITING)
        failed = [stage for stage in found.stages if stage.failed and stage.state in begun]
        resumed = sum(self._inspector.retry(Selection(batch=stage.id)) for stage in failed)
        cancelled = [stage.id for stage in found.stages if stage.state is StageState.CANCELLED]
        resumed += sum(int(self._link.run("flow_resume", moment(now), *some)) for some in _some(cancelled))
        go_on(self._link, now)
        return resumed


def _parts(workflow: NewWorkflow) -> Iterator[list[_Part]]:
    """The stages, and their jobs, as `lua/flow_store.lua` takes them. How they are cut depends on nothing but the workflow."""
    wanted = kept(workflow)
    part: list[_Part] = []
    weight = size = 0
    for place, stage in enumerate(workflow.stages):
        head: object = _head(place, stage, wanted.get(stage.id, 0))
        weight, size = weight + 1 + len(stage.after), size + 16 * len(stage.after)
        jobs: list[tuple[object, ...]] = []
        part.append((raw(stage.id), head, jobs))
        for job in stage.jobs:
            if weight >= _AT_ONCE or size >= _BYTES:
                yield part
                weight = size = 0
                jobs = []
                part = [(raw(stage.id), False, jobs)]
            jobs.append(_waiting(job))
            weight, size = weight + 1, size + len(job.payload)
    if part:
        yield part


def _head(place: int, stage: NewStage, wanted: int) -> tuple[object, ...]:
    takers = sum(takes_results(job.payload) for job in stage.jobs)
    return (
        place, stage.name, int(stage.rule), raw(b"".join(dict.fromkeys(stage.after))), raw(b"".join(stage.takes)), wanted, takers,
        len(stage.jobs), raw(stage.jobs[0].id if stage.jobs else b""),
    )  # fmt: skip


def _waiting(job: NewJob) -> tuple[object, ...]:
    when = job.run_at if job.run_at is not None else -(job.delay or 0)
    return raw(job.id), raw(waiting_tail(job)), job.queue, float(when)


def _some(ids: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    return (ids[start : start + _STAGES] for start in range(0, len(ids), _STAGES))


def _stage(row: Sequence[bytes]) -> StageRecord:
    id, name, state, rule, after, total, done, failed, retried, first, started_at, ended_at, reason = row
    return StageRecord(
        id, name.decode(), StageState(state.decode()), Rule(int(rule)), tuple(cut(after)), int(total), int(done), int(failed), int(retried),
        first or None, float(started_at) if started_at else None, float(ended_at) if ended_at else None, reason.decode() or None,
    )  # fmt: skip
