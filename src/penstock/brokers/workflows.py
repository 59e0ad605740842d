"""The side of a store that keeps workflows: stages of jobs that wait for one another (see `penstock.core.workflow`)."""

from __future__ import annotations

from typing import Protocol

import msgspec

from penstock.core.states import State
from penstock.core.workflow import NewWorkflow, Rule, StageState, Verdict, verdict

#: Seconds for which a workflow is known after its end: one that ended well, and one that did not, which may be resumed for so long.
KEPT_DONE, KEPT_FAILED = 86_400.0, 30 * 86_400.0
#: Workflows that one `Broker.prune` looks at, and the seconds until it looks at one of them again.
SOME_WORKFLOWS, EVERY_WORKFLOW = 100, 3600.0


#: Why a stage is cancelled with its workflow.
CALLED_OFF = "the workflow was cancelled"
_ID = 16


def cut(ids: bytes) -> list[bytes]:
    """Ids that are stored side by side."""
    return [ids[start : start + _ID] for start in range(0, len(ids), _ID)]


class StageRecord(msgspec.Struct, frozen=True):
    """A stage as it is read back. Counters are in jobs; times in seconds since the epoch.

    `first` is the id of its first job. `reason` says why it was cancelled.
    """

    id: bytes
    name: str
    state: StageState
    rule: Rule
    after: tuple[bytes, ...]
    total: int
    done: int
    failed: int
    retried: int
    first: bytes | None = None
    started_at: float | None = None
    ended_at: float | None = None
    reason: str | None = None

    @property
    def verdict(self) -> Verdict:
        """What it tells the stages that wait for it."""
        return verdict(self.state, self.total, self.done, self.failed)


class WorkflowRecord(msgspec.Struct, frozen=True):
    """A workflow as it is read back, its stages in the order in which they were given."""

    id: bytes
    name: str
    created_at: float
    stages: tuple[StageRecord, ...]

    @property
    def state(self) -> State:
        """Where it is as a whole: running, done, or dead, where something failed and nothing is under way."""
        verdicts = [stage.verdict for stage in self.stages]
        if any(one in (Verdict.OPEN, Verdict.FAILING) for one in verdicts):
            return State.RUNNING
        return State.DEAD if Verdict.FAILED in verdicts else State.DONE

    @property
    def counts(self) -> tuple[int, int, int]:
        """How many of its jobs there are, are done, and have failed or were cancelled; those of a stage that was skipped are left out."""
        counted = [stage for stage in self.stages if stage.state is not StageState.SKIPPED]
        return (
            sum(stage.total for stage in counted),
            sum(stage.done for stage in counted),
            sum(stage.failed for stage in counted),
        )


class Workflows(Protocol):
    """What a store does with workflows, beside starting the stages as others end, which its exchanges do by themselves."""

    def start(self, workflow: NewWorkflow, *, now: float | None = None, tx: object | None = None) -> None:
        """Store a workflow whole or not at all, and make the jobs ready that wait for nothing. One that is stored already is left as it is.

        Parameters:
            tx: as in `Broker.enqueue`.
        """

    def get(self, id: bytes) -> WorkflowRecord | None:
        """A workflow by its id, or by that of one of its stages, which is the batch of its jobs; None where it is not stored (any more)."""

    def cancel(self, id: bytes, *, now: float | None = None) -> int:
        """Cancel what has not ended, as `Inspector.cancel` does; returns how many jobs."""

    def resume(self, id: bytes, *, now: float | None = None) -> int:
        """Have what failed run again, with all its attempts, and what was cancelled wait again; returns how many jobs.

        What has ended well is not repeated, and its results are handed on.
        """
