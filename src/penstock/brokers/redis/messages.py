"""What the scripts are told: new jobs, and endings."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from penstock.brokers.redis.record import (
    COUNTED,
    EXTRAS,
    FAILED,
    STAGED,
    UNIQUE,
    maybe_raw,
    new_body,
    new_tail,
    place_of,
    raw,
)
from penstock.core.codec import encode_failure
from penstock.core.job import NewJob
from penstock.core.memo import window_id
from penstock.core.outcome import Ending, Outcome

encode = msgspec.msgpack.Encoder().encode
_DONE = Ending.DONE


def is_plain(job: NewJob) -> bool:
    """Is there nothing to it but that it is ready, once it is stored?"""
    return (
        job.gate is None
        and job.unique is None
        and job.batch is None
        and job.failure is None
        and job.run_at is None
        and not job.delay
        and not job.dead
    )


def new_job(job: NewJob, *, is_staged: bool = False) -> tuple[object, ...]:
    """A job as `lua/shared/store.lua` takes it, and how its unique key counts as `lua/shared/keys.lua` does.

    Parameters:
        is_staged: it is of a workflow.
    """
    dedup = job.dedup
    rule: tuple[object, ...] | None = None
    if dedup is not None and job.unique is not None:
        rule = (False, 0, dedup.started, dedup.replace)
        if dedup.window is not None:
            rule = (raw(window_id(job.unique)), dedup.window, False, False)
            job = msgspec.structs.replace(job, unique=None)
    return (
        raw(job.id), raw(new_tail(job, STAGED if is_staged else 0)), job.queue, job.priority, job.gate, job.delay, job.run_at, job.unique,
        maybe_raw(encode_failure(job.failure)), job.dead, maybe_raw(job.batch), job.items, rule,
    )  # fmt: skip


class Endings:
    """Outcomes as `lua/exchange.lua` takes them: those of jobs that are simply done, and all others.

    An outcome whose lease another in the list has ended already is stale whatever the store says.
    """

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        self._outcomes = outcomes
        self._plain: list[Outcome] = []
        self._others: list[Outcome] = []
        self._twice = False
        #: Is any of a workflow?
        self.are_staged = False
        self.words: list[bytes | int] = []
        claims: dict[int, dict[bytes, Outcome]] = {}
        mixed: set[int] = set()
        for outcome in outcomes:
            lease = outcome.lease
            group = claims.get(lease.claim)
            if group is None:
                group = claims[lease.claim] = {}
            if lease.id in group:
                self._twice = True
                continue
            group[lease.id] = outcome
            if (
                outcome.ending is not _DONE
                or outcome.result is not None
                or outcome.steps
                or outcome.follow_ups
                or lease.key & EXTRAS
                or lease.gate is not None
                or lease.batch is not None
            ):
                self._others.append(outcome)
                mixed.add(lease.claim)
                if lease.key & STAGED:
                    self.are_staged = True
        other = set(map(id, self._others))
        for claim, group in claims.items():
            plain = {key: one for key, one in group.items() if id(one) not in other} if claim in mixed else group
            if plain:
                self._plain += plain.values()
                self.words += (claim, b"".join(plain))

    @property
    def others(self) -> bytes:
        """Those that need more than a word."""
        return encode([_ending(outcome) for outcome in self._others]) if self._others else b""

    def stale(self, numbers: Sequence[int]) -> list[Outcome]:
        """The outcomes that came too late, by their numbers as the script tells them."""
        if not numbers and not self._twice:
            return []
        told = [*self._plain, *self._others]
        late = {id(told[number - 1]) for number in numbers}
        good = {id(outcome) for outcome in told} - late
        return [outcome for outcome in self._outcomes if not _taken(good, outcome)]


def _taken(good: set[int], outcome: Outcome) -> bool:
    """Was this one applied? Each is, once: an object may be in the list twice."""
    if id(outcome) in good:
        good.discard(id(outcome))
        return True
    return False


def _ending(outcome: Outcome) -> tuple[object, ...]:
    lease = outcome.lease
    attempts, crashes = outcome.counts
    items = lease.items if outcome.items is None else outcome.items
    body = None if outcome.payload is None else raw(new_body(lease, outcome.payload, items))
    steps = [
        (raw(step.batch), step.done, step.failed, step.retried, step.total) for step in outcome.steps
    ]  # fmt: skip
    return (
        str(lease.claim), raw(lease.id), int(outcome.ending), lease.queue, lease.priority, lease.gate, place_of(lease),
        lease.key & (UNIQUE | FAILED), lease.key & COUNTED > 0, float(outcome.delay), attempts, crashes,
        maybe_raw(outcome.result), float(outcome.result_ttl), maybe_raw(encode_failure(outcome.failure)), body,
        maybe_raw(lease.batch), items, steps, [new_job(job, is_staged=lease.key & STAGED > 0 and job.batch == lease.batch) for job in outcome.follow_ups],
        outcome.passes,
    )  # fmt: skip
