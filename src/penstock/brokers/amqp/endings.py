"""Outcomes, sorted by what has to be done for them before their messages are acknowledged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from penstock.brokers.amqp.keeper import Keeper
from penstock.brokers.amqp.message import DELIVERED, Message, again
from penstock.core.job import NewJob
from penstock.core.outcome import Ending, Outcome

_DONE = Ending.DONE
_GOES_ON = frozenset({Ending.RETRY, Ending.SNOOZE})
_TAKEN_OVER = frozenset({Ending.DEAD, Ending.CANCELLED, Ending.PARKED})


class Endings:
    """The outcomes of one exchange.

    Parameters:
        outcomes: as they were handed in.
        held: the claims that are in force here.
    """

    def __init__(self, outcomes: Sequence[Outcome], held: Mapping[int, int]) -> None:
        #: Of the backend's jobs.
        self.elsewhere: list[Outcome] = []
        #: They came too late, or twice.
        self.stale: list[Outcome] = []
        #: Claims that end with an acknowledgement, and those of which the messages go back as they are.
        self.ended: list[int] = []
        self.released: list[int] = []
        self._rest: list[Outcome] = []
        seen: set[int] = set()
        for outcome in outcomes:
            lease = outcome.lease
            if lease.key != DELIVERED:
                self.elsewhere.append(outcome)
                continue
            claim = lease.claim
            if claim not in held or claim in seen:
                self.stale.append(outcome)
                continue
            seen.add(claim)
            if outcome.ending is Ending.RELEASED and outcome.payload is None and outcome.items is None:
                self.released.append(claim)
            else:
                self.ended.append(claim)
            if outcome.ending is not _DONE or outcome.result is not None or outcome.follow_ups or outcome.steps:
                self._rest.append(outcome)

    def write(
        self,
        keeper: Keeper,
        publish: Callable[[Sequence[tuple[Message, float]]], object],
        enqueue: Callable[..., object],
        now: float | None,
    ) -> None:
        """Store all that comes of them. Whoever is killed in here, or before they are acknowledged, has the jobs repeated."""
        if not self._rest:
            return
        kept = [each for each in self._rest if each.ending in _TAKEN_OVER or each.steps or each.result is not None]
        if kept:
            keeper.take_over(kept, now)
        born: list[NewJob] = [job for outcome in self._rest for job in outcome.follow_ups]
        if born:
            enqueue(born, now=now)
        released = set(self.released)
        going_on = [
            (again(outcome), outcome.delay if outcome.ending in _GOES_ON else 0.0)
            for outcome in self._rest
            if outcome.ending in _GOES_ON or (outcome.ending is Ending.RELEASED and outcome.lease.claim not in released)
        ]
        if going_on:
            publish(going_on)
