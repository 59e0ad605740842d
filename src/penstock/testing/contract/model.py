"""What a queue is, without a store: the model that the state machine compares a broker with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from penstock.core import handing
from penstock.core.job import Holder, Lease, NewJob, due_at
from penstock.core.outcome import AGAIN, Ending, Outcome
from penstock.core.states import LIVE, State


@dataclass
class Row:
    """One job as the model knows it. Without a `position`, the contract leaves open where in its priority it stands.

    `given` are the results that it was handed, where it takes some: a failure among them is None.
    """

    job: NewJob
    state: State
    attempt: int
    payload: bytes
    position: int | None
    run_at: float = 0.0
    unique: str | None = None
    claim: int = 0
    holder: Holder | None = None
    cancelled: bool = False
    given: list[Any] | None = None

    def carries(self, payload: bytes) -> bool:
        """Whether this is what a store has as its payload."""
        if self.given is None:
            return payload == self.payload
        flat = [each for one in handing.own(payload) for each in (one if isinstance(one, list) else [one])]
        # Where the failure of a job stands that was deleted is the store's.
        values = [one for one in flat if isinstance(one, bytes)]
        return len(flat) == len(self.given) and values == [one for one in self.given if one is not None]


class Model:
    """Every job there is, and what became of it."""

    def __init__(self) -> None:
        self.rows: dict[bytes, Row] = {}
        self.steps: Counter[bytes] = Counter()
        self._position = 0

    def enqueue(self, jobs: Iterable[NewJob], now: float) -> list[bytes]:
        """Returns the ids that must come back."""
        return [self._store(job, now) for job in jobs]

    def _store(self, job: NewJob, now: float) -> bytes:
        if job.id in self.rows:
            return job.id
        if job.unique is not None and not job.dead:
            for id, row in self.rows.items():
                if row.unique == job.unique and row.state in LIVE:
                    return id
        self._position += 1
        due = due_at(job, now)
        state = State.READY if due is None else State.DELAYED
        self.rows[job.id] = Row(
            job,
            State.DEAD if job.dead else state,
            job.attempt,
            job.payload,
            self._position if due is None else None,
            due or now,
            job.unique,
        )
        return job.id

    def in_state(self, *states: State) -> list[Row]:
        """The jobs in any of these states."""
        return [row for row in self.rows.values() if row.state in states]

    def promote(self, now: float) -> float | None:
        """Makes what is due ready; returns in how many seconds the next is due."""
        for row in self.in_state(State.DELAYED):
            if row.run_at <= now:
                row.state, row.position = State.READY, None
        return min((row.run_at - now for row in self.in_state(State.DELAYED)), default=None)

    def claim(self, leases: Iterable[Lease], holder: Holder) -> None:
        """Takes over which jobs the broker chose, after `may_choose` said that it might."""
        for lease in leases:
            row = self.rows[lease.id]
            row.state, row.claim, row.holder = State.RUNNING, lease.claim, holder
            row.cancelled = False

    def may_choose(self, leases: list[Lease], queue: str, gate: str | None) -> bool:
        """Whether these jobs of one queue, or of one line of it, are the head of it in this order."""
        chosen = [self.rows[lease.id] for lease in leases]
        ready = [row for row in self.in_state(State.READY) if (row.job.queue, row.job.gate) == (queue, gate)]
        left = [row for row in ready if row not in chosen]
        priorities = [row.job.priority for row in chosen]
        if priorities != sorted(priorities, reverse=True):
            return False
        for priority in set(priorities):
            places = [row.position for row in chosen if row.job.priority == priority and row.position is not None]
            behind = [row.position for row in left if row.job.priority == priority and row.position is not None]
            if places != sorted(places) or (places and behind and min(behind) < places[-1]):
                return False
        return not chosen or all(row.job.priority <= priorities[-1] for row in left)

    def hand_in(self, outcome: Outcome, now: float) -> bool:
        """Applies an outcome; returns whether its lease was in force."""
        row = self.rows.get(outcome.lease.id)
        if row is None or row.state is not State.RUNNING or row.claim != outcome.lease.claim:
            return False
        self._end(row, outcome, now)
        self.enqueue(outcome.follow_ups, now)
        self.steps.update({step.batch: step.done for step in outcome.steps})
        return True

    def _end(self, row: Row, outcome: Outcome, now: float) -> None:
        if outcome.payload is not None:
            row.payload = outcome.payload
        row.holder = None
        match Ending.CANCELLED if row.cancelled and outcome.ending in AGAIN else outcome.ending:
            case Ending.DONE:
                del self.rows[row.job.id]
            case Ending.RETRY | Ending.SNOOZE:
                row.state, row.run_at, row.position = State.DELAYED, now + outcome.delay, None
                row.attempt += outcome.ending is Ending.RETRY
            case Ending.RELEASED:
                row.state = State.READY
            case Ending.PARKED:
                row.state, row.position = State.PARKED, None
            case Ending.DEAD | Ending.CANCELLED:
                row.state = State.DEAD if outcome.ending is Ending.DEAD else State.CANCELLED
                row.unique = None

    def cancel(self, rows: Iterable[Row]) -> None:
        """Jobs that have not started are cancelled, and those that run are marked."""
        for row in rows:
            if row.state is State.RUNNING:
                row.cancelled = True
            else:
                row.state, row.unique = State.CANCELLED, None

    def give_back(self, rows: list[Row]) -> int:
        """A dead holder's jobs come back, or die if they may not run twice."""
        for row in rows:
            row.holder, row.position = None, None
            row.state = State.CANCELLED if row.cancelled else State.READY
            row.state = State.DEAD if row.job.at_most_once else row.state
            row.unique = row.unique if row.state is State.READY else None
        return len(rows)
