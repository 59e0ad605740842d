"""What one process remembers of its claims: what it holds, where it looks next, and what it can't be sure of."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from penstock.brokers.postgres.arrays import Array
from penstock.brokers.postgres.sweeps import Sweeps
from penstock.core.job import Holder, Lease
from penstock.core.outcome import Outcome

_RANKS = range(10)
#: Jobs remembered, at most: those that a sink ended in its own transaction are never counted down.
_MOST = 50_000


class Holdings:
    """The jobs that are not ended yet, by the numbers of their claims."""

    def __init__(self) -> None:
        self._open: dict[int, set[bytes]] = {}
        self._count = 0
        self._highest: dict[Holder, int] = {}
        self._doubts: dict[Holder, int] = {}

    def take(self, holder: Holder, leases: Sequence[Lease]) -> None:
        """New leases came, after an exchange that is no longer in doubt."""
        self._doubts.pop(holder, None)
        for lease in leases:
            self._open.setdefault(lease.claim, set()).add(lease.id)
            self._highest[holder] = lease.claim
        self._count += len(leases)
        while self._count > _MOST:
            self._count -= len(self._open.pop(next(iter(self._open))))

    def spent(self, outcomes: Sequence[Outcome]) -> list[int]:
        """The claims of which these outcomes are the last. By id: an outcome may be handed in twice, after a lost answer say."""
        ending: dict[int, set[bytes]] = {}
        for outcome in outcomes:
            ending.setdefault(outcome.lease.claim, set()).add(outcome.lease.id)
        return [claim for claim, ids in ending.items() if claim in self._open and self._open[claim] <= ids]

    def end(self, outcomes: Sequence[Outcome]) -> None:
        """These outcomes were handed in, and the answer is known."""
        for outcome in outcomes:
            claim = outcome.lease.claim
            left = self._open.get(claim)
            if left is not None and outcome.lease.id in left:
                left.remove(outcome.lease.id)
                self._count -= 1
                if not left:
                    del self._open[claim]

    def doubt(self, holder: Holder) -> None:
        """An exchange got no answer: whatever it claimed has a number above all that are known."""
        self._doubts.setdefault(holder, self._highest.get(holder, -1))

    def in_doubt(self, holder: Holder) -> int | None:
        """The claim after which everything the holder has is unknown to it."""
        return self._doubts.get(holder)


class Heads:
    """Where to look for the next jobs of each queue and rank: to take them, or to count them.

    Usually from the very beginning: that keeps the order, and finds everything. But entries of jobs that ended stay in the
    index until it is cleaned, which another session's long transaction holds up, and the way past them grows with every
    job. Once it is long, a process looks from where it was last, and from the beginning about once a second, for what was
    committed late or given back. If it can, when it has just found nothing: on the way past 100,000 such entries, 3.6 ms, a job that has come would wait.
    And if no other does just then: then somebody is there for what comes.
    """

    def __init__(self) -> None:
        self._turn = 0
        self._asked: tuple[str, ...] = ()
        self._lows: dict[tuple[str, int], int] = {}
        self._beginnings: dict[tuple[str, ...], dict[str, Array]] = {}
        self._sweeps = Sweeps()

    def ahead(self, queues: Sequence[str], now: float, *, may_wait: bool = False) -> dict[str, Array]:
        """Where to look, for a claim at a time of the monotonic clock; the queue that comes first changes each time.

        Parameters:
            may_wait: as in `Sweeps.begin`.
        """
        self._turn += 1
        turned = self._asked = self.turned(queues)
        beginning = self._beginnings.get(turned)
        if beginning is None:
            beginning = self._beginnings[turned] = _beginning(turned)
        if self._sweeps.begin(now, may_wait=may_wait):
            return beginning
        lows = [self._lows.get((queue, rank), 0) for queue in turned for rank in _RANKS]
        return {**beginning, "lows": Array("int8", lows)}

    def sweep_waits(self, now: float) -> bool:
        """Is it time to look from the beginning, and the last look did not?"""
        return self._sweeps.waits(now)

    def turned(self, queues: Sequence[str]) -> tuple[str, ...]:
        """The queues in the order to take from, which changes with each claim."""
        start = self._turn % len(queues)
        return (*queues[start:], *queues[:start])

    def found(self, leases: Sequence[Lease], was_far: bool, now: float) -> None:
        """What came of it.

        Parameters:
            was_far: much that is dead or held lay before the heads.
            now: on the monotonic clock.
        """
        for lease in leases:
            # A line is short-lived, and looked at from its beginning.
            if lease.gate is None:
                self._lows[lease.queue, 9 - lease.priority] = lease.key
        self._sweeps.end(now, was_far=was_far)

    def went_on(self, lows: Sequence[int], was_far: bool, now: float) -> None:
        """What came of a look that took nothing.

        Parameters:
            lows: the places after which the next may begin, in the order of what was asked for.
            was_far, now: as in `found`.
        """
        self._lows.update(zip(product(self._asked, _RANKS), lows, strict=True))
        self._sweeps.end(now, was_far=was_far)


def _beginning(queues: Sequence[str]) -> dict[str, Array]:
    return {
        "queues": Array("text", [queue for queue in queues for _ in _RANKS]),
        "ranks": Array("int2", [*_RANKS] * len(queues)),
        "lows": Array("int8", [0] * len(_RANKS) * len(queues)),
    }
