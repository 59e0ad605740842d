"""Outcomes as a SQLite queue writes them down: sorted before the file is locked, so that others can write meanwhile."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from penstock.core.job import NewJob
from penstock.core.outcome import AGAIN, Ending, Outcome, Step


class Ended(NamedTuple):
    """Leases of one claim: its number, a JSON array of the seqs, and how many."""

    claim: int
    keys: str
    jobs: int


class Endings:
    """Some outcomes, by what is to be done about them.

    Parameters:
        now: in epoch seconds.
    """

    def __init__(self, outcomes: Sequence[Outcome], now: float) -> None:
        self.outcomes = outcomes
        self.now = now
        #: Id, result, when it expires, and the stage that has it for others.
        self.results: list[tuple[bytes, bytes, float, bytes | None]] = []
        #: Those that are not done, which is rarer.
        self.others: list[Outcome] = []
        self.born: list[NewJob] = []
        #: By their batches.
        self.steps: dict[bytes, Step] = {}
        claims: dict[int, list[int]] = defaultdict(list)
        done: list[int] = []
        for outcome in outcomes:
            lease = outcome.lease
            claims[lease.claim].append(lease.key)
            if outcome.ending is Ending.DONE:
                done.append(lease.key)
                if outcome.result is not None:
                    stage = lease.batch if outcome.passes else None
                    self.results.append((lease.id, outcome.result, now + outcome.result_ttl, stage))
            else:
                self.others.append(outcome)
            if outcome.follow_ups:
                self.born += outcome.follow_ups
            for step in outcome.steps:
                self.steps[step.batch] = _add(self.steps.get(step.batch), step)
        self.claims = [Ended(claim, json.dumps(keys), len(keys)) for claim, keys in claims.items()]
        #: JSON arrays of seqs, empty where there are none: of jobs that are over, that go back to where they were, and that would run again in any way.
        self.done = _keys(done)
        self.released = _keys([one.lease.key for one in self.others if one.ending is Ending.RELEASED])
        self.again = _keys([one.lease.key for one in self.others if one.ending in AGAIN])

    @property
    def makes_work(self) -> bool:
        """Is there more to take afterwards, for others than who writes them down?"""
        return bool(self.born or self.released)


def _keys(seqs: Sequence[int]) -> str:
    return json.dumps(seqs) if seqs else ""


def _add(sum: Step | None, step: Step) -> Step:
    if sum is None:
        return step
    return Step(
        step.batch, sum.done + step.done, sum.failed + step.failed, sum.retried + step.retried, sum.total + step.total
    )
