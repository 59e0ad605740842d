"""Jobs whose process has died before run with nothing beside them, so that they can hurt only themselves."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable

from penstock.core.job import Lease
from penstock.pools.base import Pool

#: Seconds that a suspect waits for its neighbours to end, until another process is to take the place of this one.
_PATIENCE = 1.0


class Suspects:
    """The suspects of one process with many slots: each starts when the pool is idle, and is alone until it has ended."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._waiting: deque[Lease] = deque()
        self._alone = False
        self._since = 0.0

    @property
    def waiting(self) -> bool:
        """Is there a suspect that runs or waits? Then nothing else may start."""
        if self._alone and not self._waiting and self._pool.idle():
            self._alone = False
        return self._alone or bool(self._waiting)

    @property
    def tired_of_waiting(self) -> bool:
        """Have the jobs that run kept one waiting for too long?"""
        return bool(self._waiting) and not self._alone and time.monotonic() - self._since > _PATIENCE

    def meet(self, leases: Iterable[Lease]) -> list[Lease]:
        """Keep the suspects among new leases; returns what is to be given back for them."""
        others: list[Lease] = []
        for lease in leases:
            if lease.crashes:
                if not self._waiting:
                    self._since = time.monotonic()
                self._waiting.append(lease)
            else:
                others.append(lease)
        return [*self._pool.take_back(), *others]

    def next(self) -> Lease | None:
        """The one to start now, if any may."""
        if not self._waiting or not self._pool.idle():
            return None
        self._alone = True
        return self._waiting.popleft()

    def take_back(self) -> list[Lease]:
        """Those that have not started."""
        taken = list(self._waiting)
        self._waiting.clear()
        return taken
