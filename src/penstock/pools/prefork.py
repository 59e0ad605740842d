"""One slot: the process's main thread. Concurrency comes from running several such processes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from penstock.core.job import Lease
from penstock.core.outcome import Outcome
from penstock.core.prefetch import Prefetch
from penstock.pools.base import Pool, Run


class PreforkPool(Pool):
    """Runs each batch of leases in the calling thread, one after another.

    Both ends of the deque of leases are safe to take from by another thread: this one takes from the left what it
    starts, and `take_back` from the right what it gives back.
    """

    def __init__(
        self, slots: int, run: Run, done: Callable[[Outcome], None], started: Callable[[int, Lease | None], None]
    ) -> None:
        super().__init__(1, run, done, started)
        self._leases: deque[Lease] = deque()
        self._current: Lease | None = None
        self._stopped = False
        self._prefetch = Prefetch()

    def room(self) -> int:
        """See `Pool.room`."""
        return 0 if self._stopped else self._prefetch.limit

    def submit(self, leases: Sequence[Lease]) -> None:
        """See `Pool.submit`."""
        pending, run, done, started = self._leases, self._run, self._done, self._started
        pending.extend(leases)
        began = time.perf_counter()
        ran = 0
        while not self._stopped:
            try:
                lease = pending.popleft()
            except IndexError:
                break
            self._current = lease
            started(0, lease)
            done(run(lease))
            ran += 1
        self._current = None
        started(0, None)
        self._prefetch.ran(ran, time.perf_counter() - began)

    def take_back(self) -> list[Lease]:
        """See `Pool.take_back`."""
        taken: list[Lease] = []
        while True:
            try:
                taken.append(self._leases.pop())
            except IndexError:
                return taken

    def running(self) -> list[Lease]:
        """See `Pool.running`."""
        current = self._current
        return [] if current is None else [current]

    def idle(self) -> bool:
        """See `Pool.idle`."""
        return not self._leases and self._current is None

    def stop(self) -> None:
        """See `Pool.stop`."""
        self._stopped = True
