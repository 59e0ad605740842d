"""Counts of jobs by queue and state, some of them estimated."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from penstock.brokers.inspect import QueueCounts
from penstock.core.limiter import queue_of


class Tally:
    """What was counted so far. Queues are known by their own name, or by that of one of their lines."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[str, int]] = defaultdict(dict)
        self._about: dict[str, set[str]] = defaultdict(set)

    def add(self, line: str, state: str, count: int, *, about: bool = False) -> None:
        """So many more jobs of a queue are in a state; `about` where that is an estimate."""
        queue = queue_of(line)
        self._counts[queue][state] = self._counts[queue].get(state, 0) + count
        if about:
            self._about[queue].add(state)

    def share(self, state: str, total: int, weights: Mapping[str, float]) -> None:
        """Share the jobs in a state out among queues, as those of a sample are; that is an estimate."""
        whole = sum(weights.values())
        for line, weight in weights.items():
            self.add(line, state, round(total * weight / whole), about=True)

    def queues(self) -> Sequence[QueueCounts]:
        """Every queue, in the order of their names."""
        return [
            QueueCounts(queue, **self._counts[queue], about=tuple(sorted(self._about[queue])))
            for queue in sorted(self._counts)
        ]
