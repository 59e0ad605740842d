"""Which jobs are slow, and which wait behind them for longer than they should."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from penstock.core.job import Lease
from penstock.core.prefetch import hostages
from penstock.pools.base import Pool


class Relief:
    """Looks at a pool now and then, and compares.

    Parameters:
        show: told what runs at each look, and when that is in monotonic seconds.
    """

    def __init__(self, pool: Pool, show: Callable[[Sequence[Lease], float], None]) -> None:
        self._pool = pool
        self._show = show
        self._before: list[Lease] = []
        self._waited = 0
        self._seen = 0
        #: How many leases the pool has been given so far.
        self.submitted = 0

    def look(self) -> list[Lease]:
        """The leases that run, and did at the last look."""
        running = self._pool.running()
        known = set(map(id, self._before))
        self._before = running
        self._show(running, time.monotonic())
        return [lease for lease in running if id(lease) in known]

    def hostages(self) -> list[Lease]:
        """Take back the leases that would have to wait for long; called after each look."""
        waiting, submitted = self._pool.waiting(), self.submitted
        kept = hostages(self._waited, submitted - self._seen, waiting)
        behind = [] if kept is None else self._pool.take_back(kept)
        self._waited, self._seen = waiting - len(behind), submitted
        return behind
