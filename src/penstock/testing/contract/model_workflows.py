"""What a workflow is, without a store: the part of the model that knows which stages wait for which."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from penstock.core import handing
from penstock.core.states import LIVE, State
from penstock.core.workflow import NewStage, NewWorkflow, Rule, StageState, kept
from penstock.testing.contract.model import Model, Row

_FAILED = (State.DEAD, State.CANCELLED)


@dataclass
class Stage:
    """One stage as the model knows it: its counters are what became of its jobs, and `left` are the stages that it still waits for."""

    made: NewStage
    state: StageState
    jobs: list[bytes]
    left: list[bytes]
    passes: bool
    done: dict[bytes, Any] = field(default_factory=dict)

    def failed(self, rows: dict[bytes, Row]) -> int:
        """How many of its jobs have failed, were cancelled, or were deleted before they ended; none where it was skipped, and they with it."""
        if self.state is StageState.SKIPPED:
            return 0
        return sum(id not in self.done and (id not in rows or rows[id].state in _FAILED) for id in self.jobs)

    def results(self, rows: dict[bytes, Row]) -> list[Any]:
        """What its jobs hand on: a failure is shown as None, for its words are the store's."""
        return [self.done.get(id) for id in self.jobs]


class Flows:
    """Every stage there is. `settle` brings them up to date with the jobs of the model."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.workflows: list[NewWorkflow] = []
        self.stages: dict[bytes, Stage] = {}

    def start(self, made: NewWorkflow, now: float) -> None:
        """A workflow is stored."""
        self.workflows.append(made)
        wanted = kept(made)
        for one in made.stages:
            self._model.enqueue(one.jobs, now)
            state = StageState.WAITING if one.after else StageState.STARTED
            self.stages[one.id] = Stage(one, state, [job.id for job in one.jobs], list(one.after), one.id in wanted)
            if one.after:
                for job in one.jobs:
                    self._model.rows[job.id].state = State.WAITING
        self.settle()

    def of(self, batch: bytes | None) -> Stage | None:
        """The stage that has this batch."""
        return None if batch is None else self.stages.get(batch)

    def rows(self, stage: Stage, *states: State) -> list[Row]:
        """The jobs of a stage that are in one of these states."""
        found = (self._model.rows.get(id) for id in stage.jobs)
        return [row for row in found if row is not None and row.state in states]

    def settle(self) -> None:
        """Every stage that waits starts, is cancelled or is skipped, if what it waits for says so."""
        while any(self._settle(stage) for stage in self.stages.values() if stage.state is StageState.WAITING):
            pass
        for made in self.workflows:
            stages = [self.stages[one.id] for one in made.stages]
            waits = any(stage.state is StageState.WAITING for stage in stages)
            started = [stage for stage in stages if stage.state is StageState.STARTED]
            assert not waits or any(self.rows(stage, *LIVE) for stage in started), "nothing will ever start what waits"

    def _settle(self, stage: Stage) -> bool:
        rows, rule = self._model.rows, stage.made.rule
        told = [self.stages[id] for id in stage.left]
        has_failed = any(one.state is StageState.CANCELLED or one.failed(rows) for one in told)
        if rule is Rule.DONE and has_failed:
            self._stop(stage, StageState.CANCELLED)
        elif rule is Rule.DONE and any(one.state is StageState.SKIPPED for one in told):
            self._stop(stage, StageState.SKIPPED)
        elif rule is Rule.FAILED and has_failed:
            self._start(stage, [[None]])
        else:
            stage.left = [id for id in stage.left if not self._is_over(self.stages[id])]
            if stage.left:
                return False
            if rule is Rule.FAILED:
                self._stop(stage, StageState.SKIPPED)
            else:
                self._start(stage, [self.stages[id].results(rows) for id in stage.made.takes])
        return True

    def _is_over(self, stage: Stage) -> bool:
        ended = len(stage.done) + stage.failed(self._model.rows) >= len(stage.jobs)
        return ended if stage.state is StageState.STARTED else stage.state is not StageState.WAITING

    def _start(self, stage: Stage, given: list[list[Any]]) -> None:
        stage.state, stage.left = StageState.STARTED, []
        for id in stage.jobs:
            row = self._model.rows.get(id)
            if row is not None:
                row.given = (
                    [value for values in given for value in values] if handing.takes_results(row.payload) else None
                )
                if row.state is State.WAITING:
                    row.state, row.position = State.READY, None

    def _stop(self, stage: Stage, state: StageState) -> None:
        stage.state, stage.left = state, []
        for row in self.rows(stage, State.WAITING):
            if state is StageState.CANCELLED:
                row.state = State.CANCELLED
            else:
                del self._model.rows[row.job.id]

    def cancel(self, made: NewWorkflow) -> int:
        """What has not ended of a workflow is cancelled; returns how many jobs."""
        stages = [self.stages[one.id] for one in made.stages]
        live = [row for stage in stages for row in self.rows(stage, *LIVE)]
        for stage in stages:
            if stage.state is StageState.WAITING:
                self._stop(stage, StageState.CANCELLED)
        self._model.cancel(live)
        return len(live)

    def resume(self, made: NewWorkflow) -> int:
        """What failed of a workflow runs again, and what was cancelled waits again; returns how many jobs."""
        stages = [self.stages[one.id] for one in made.stages]
        failed = [row for stage in stages for row in self.rows(stage, *_FAILED)]
        for stage in stages:
            if stage.state is StageState.CANCELLED:
                stage.state, stage.left = StageState.WAITING, list(stage.made.after)
        resumed = self.bring_back(failed)
        self.settle()
        return resumed

    def bring_back(self, rows: Iterable[Row]) -> int:
        """Jobs that failed run again, or wait again for their stage; returns how many. Those of a stage that will not start do not."""
        count = 0
        for row in rows:
            stage = self.of(row.job.batch)
            if stage is None or stage.state in (StageState.STARTED, StageState.WAITING):
                waits = stage is not None and stage.state is StageState.WAITING
                row.state, row.attempt, row.position = State.WAITING if waits else State.READY, 0, None
                count += 1
        return count
