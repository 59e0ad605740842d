"""Workflows: stages of jobs that wait for one another, and what becomes of a stage as others end. Pure.

A stage is a batch: its counters tell when it has ended. A single step is a stage of one job, a group one of many.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum

import msgspec

from penstock.core.handing import takes_results
from penstock.core.job import Failure, NewJob
from penstock.errors import ConfigError

#: The kind of a failure that is a job's only because its stage was cancelled.
CALLED_OFF = "Cancelled"


class Rule(IntEnum):
    """When a stage starts."""

    DONE = 0  # when all that it waits for have ended well; it is cancelled as soon as one of their jobs fails
    ENDED = 1  # when all that it waits for have ended, however that was
    FAILED = 2  # as soon as a job fails of what it waits for; it is skipped when none does


class StageState(StrEnum):
    """Where a stage is; whether one that has started has ended is told by its counters."""

    WAITING = "waiting"
    STARTED = "started"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


class NewStage(msgspec.Struct, frozen=True):
    """Jobs that start together.

    Parameters:
        id: a UUIDv7, and the batch of its jobs.
        name: for whoever looks at it.
        after: the stages that it waits for.
        takes: the stages whose results those of its jobs get that take results, in order.
    """

    id: bytes
    name: str
    jobs: tuple[NewJob, ...]
    after: tuple[bytes, ...] = ()
    rule: Rule = Rule.DONE
    takes: tuple[bytes, ...] = ()


class NewWorkflow(msgspec.Struct, frozen=True):
    """A workflow to be stored: its stages, each after those that it waits for."""

    id: bytes
    name: str
    stages: tuple[NewStage, ...]


class Verdict(IntEnum):
    """What a stage tells those that wait for it."""

    OPEN = 0
    DONE = 1
    FAILING = 2  # a job has failed, and others are under way
    FAILED = 3  # all have ended, and some failed
    SKIPPED = 4


class Answer(IntEnum):
    """What becomes of a stage that waits."""

    WAIT = 0
    ONE_LESS = 1  # there is one less to wait for
    START = 2
    CANCEL = 3
    SKIP = 4


def verdict(state: StageState, total: int, done: int, failed: int) -> Verdict:
    """What a stage tells, by its counters."""
    match state:
        case StageState.SKIPPED:
            return Verdict.SKIPPED
        case StageState.CANCELLED:
            return Verdict.FAILED
        case StageState.WAITING:
            return Verdict.FAILING if failed > 0 else Verdict.OPEN
    if done + failed >= total:
        return Verdict.FAILED if failed > 0 else Verdict.DONE
    return Verdict.FAILING if failed > 0 else Verdict.OPEN


def answer(rule: Rule, told: Verdict, others: int) -> Answer:
    """What becomes of a stage of this rule when one that it waits for tells this.

    Parameters:
        others: how many others it waits for.
    """
    if told is Verdict.OPEN:
        return Answer.WAIT
    failed = told in (Verdict.FAILING, Verdict.FAILED)
    match rule:
        case Rule.FAILED:
            if failed:
                return Answer.START
            return Answer.ONE_LESS if others else Answer.SKIP
        case Rule.ENDED:
            if told is Verdict.FAILING:
                return Answer.WAIT
            return Answer.ONE_LESS if others else Answer.START
    if failed:
        return Answer.CANCEL
    if told is Verdict.SKIPPED:
        return Answer.SKIP
    return Answer.ONE_LESS if others else Answer.START


def why(name: str, failure: Failure | None, *, is_dead: bool) -> str:
    """Why a stage is cancelled that waits for this one: what failed in the first place, however far away.

    Parameters:
        failure: what is noted of the first of this stage's jobs that failed, or was cancelled.
        is_dead: did it fail?
    """
    if failure is not None and is_dead:
        return f"{name} failed: {failure}"
    return failure.message if failure is not None and failure.kind == CALLED_OFF else f"{name} was cancelled"


def check(workflow: NewWorkflow) -> None:
    """Raise `ConfigError` for a workflow that would never end."""
    known: set[bytes] = set()
    for stage in workflow.stages:
        missing = [id for id in (*stage.after, *stage.takes) if id not in known]
        if missing or stage.id in known:
            raise ConfigError(f"{stage.name}: a stage waits for stages that come before it in its workflow")
        known.add(stage.id)
        for job in stage.jobs:
            if job.unique is not None:
                raise ConfigError(
                    f"{job.task} is unique, and a job that is not stored never ends: take unique= off it in workflows"
                )
            if job.batch != stage.id or job.items != 1 or job.dead:
                raise ConfigError(f"{stage.name}: the jobs of a stage are single ones, of its batch")
            if takes_results(job.payload) and not (stage.takes or stage.rule is Rule.FAILED):
                raise ConfigError(f"{stage.name}: its jobs take results, and the stage has none to give them")


def kept(workflow: NewWorkflow) -> dict[bytes, int]:
    """The stages whose results others take, and how many do."""
    counts: dict[bytes, int] = {}
    for stage in workflow.stages:
        for id in set(stage.takes):
            counts[id] = counts.get(id, 0) + 1
    return counts
