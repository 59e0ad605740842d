"""Which jobs are slow, and which wait behind them for longer than they should."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from penstock.core.job import Lease
from penstock.core.prefetch import hostages
from penstock.pools.base import Pool

#: Seconds after which a job counts as slow: what ended before it is handed in, what waits behind it is given back.
SLOW = 0.01
#: Seconds between looks while nobody waits for what runs.
_SELDOM = 1.0


class Relief:
    """Looks at a pool now and then, and compares: every `SLOW` seconds while there may be jobs that wait for slow ones.

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
        self._submitted = 0
        self._hurries = threading.Event()

    def begin(self, leases: Sequence[Lease], *, beside: bool) -> None:
        """Leases are about to start. One by itself has nobody look: to wake a thread is a fifth of what its start costs.

        Parameters:
            beside: there are others that wait in this process.
        """
        self._submitted += len(leases)
        if beside or len(leases) > 1 or leases[0].packed or not self._pool.inline:
            self._hurries.set()

    def rest(self) -> None:
        """Nothing runs or waits."""
        self._hurries.clear()

    def wait(self) -> None:
        """Return when it is time to look."""
        if self._hurries.wait(_SELDOM):
            time.sleep(max(SLOW, self._pool.share))

    def look(self) -> list[Lease]:
        """The leases that run, and did at the last look."""
        running = self._pool.running()
        known = set(map(id, self._before))
        self._before = running
        self._show(running, time.monotonic())
        return [lease for lease in running if id(lease) in known]

    def hostages(self) -> list[Lease]:
        """Take back the leases that would have to wait for long; called after each look."""
        waiting, submitted = self._pool.waiting(), self._submitted
        kept = hostages(self._waited, submitted - self._seen, waiting)
        behind = [] if kept is None else self._pool.take_back(kept)
        self._waited, self._seen = waiting - len(behind), submitted
        return behind
