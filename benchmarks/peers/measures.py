"""The columns: what is measured of each contestant, and which way is better."""

from __future__ import annotations

import msgspec

from benchmarks.peers.standing import Score, Standing


class Measure(msgspec.Struct, frozen=True):
    """A column.

    Parameters:
        field: of a `Round`.
        head: of the column, with the unit.
        more: is more better?
    """

    field: str
    head: str
    more: bool

    def best(self, standing: Standing) -> float | None:
        """The best figure that anyone on a store has."""
        found = [value for score in standing.scores if (value := score.figure(self.field)) is not None]
        return (max if self.more else min)(found, default=None)

    def ratio(self, ours: Score, theirs: Score) -> float | None:
        """How many times better ours is; below 1 theirs is."""
        mine, other = ours.figure(self.field), theirs.figure(self.field)
        if not mine or not other:
            return None
        return mine / other if self.more else other / mine


MEASURES = (
    Measure("one", "enqueue one by one, jobs/s", True),
    Measure("many", "enqueue in bulk, jobs/s", True),
    Measure("drain", "drain, jobs/s", True),
    Measure("cpu", "worker CPU for 1,000 jobs, ms", False),
    Measure("cpu_all", "with the server's, ms", False),
    Measure("p50", "start after, p50, ms", False),
    Measure("p99", "p99, ms", False),
    Measure("pss", "idle worker, MB", False),
    Measure("idle", "idle worker, % of a core", False),
)
