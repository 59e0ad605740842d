"""Slots that are threads of one process: for jobs that wait."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from penstock.core.job import Lease
from penstock.core.outcome import Outcome
from penstock.core.prefetch import Prefetch
from penstock.pools.base import Pool, Run


class ThreadsPool(Pool):
    """Threads that take leases from one deque; started as they are needed, up to `slots`."""

    def __init__(
        self, slots: int, run: Run, done: Callable[[Outcome], None], started: Callable[[int, Lease | None], None]
    ) -> None:
        super().__init__(slots, run, done, started)
        self._leases: deque[Lease] = deque()
        self._changed = threading.Condition()
        self._current: dict[int, Lease] = {}
        self._idle = 0
        self._threads = 0
        self._stopped = False
        self._prefetch = Prefetch()

    def room(self) -> int:
        """See `Pool.room`: the free slots, and for short jobs as many more as are soon run."""
        with self._changed:
            if self._stopped:
                return 0
            free = self.slots - len(self._current)
            return max(0, max(free, self._prefetch.limit if free else 0) - len(self._leases))

    def submit(self, leases: Sequence[Lease]) -> None:
        """See `Pool.submit`."""
        with self._changed:
            self._leases.extend(leases)
            wanted = min(len(self._leases) - self._idle, self.slots - self._threads)
            for _ in range(wanted):
                slot = self._threads
                self._threads += 1
                threading.Thread(target=self._work, args=(slot,), name=f"penstock-slot-{slot}", daemon=True).start()
            self._changed.notify(min(len(leases), self._idle))

    def take_back(self) -> list[Lease]:
        """See `Pool.take_back`."""
        with self._changed:
            taken = list(self._leases)
            self._leases.clear()
            return taken

    def running(self) -> list[Lease]:
        """See `Pool.running`."""
        with self._changed:
            return list(self._current.values())

    def idle(self) -> bool:
        """See `Pool.idle`."""
        with self._changed:
            return not self._leases and not self._current

    def stop(self) -> None:
        """See `Pool.stop`."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _work(self, slot: int) -> None:
        ran, began = 0, time.perf_counter()
        while True:
            with self._changed:
                while not self._leases and not self._stopped:
                    if ran:
                        self._prefetch.ran(ran * self.slots, time.perf_counter() - began)
                    self._started(slot, None)
                    self._idle += 1
                    self._changed.wait()
                    self._idle -= 1
                    ran, began = 0, time.perf_counter()
                if self._stopped:
                    self._threads -= 1
                    return
                lease = self._current[slot] = self._leases.popleft()
            self._started(slot, lease)
            outcome = self._run(lease)
            ran += 1
            with self._changed:
                # Both at once: whoever finds the slot free must find the outcome handed on.
                self._done(outcome)
                self._current.pop(slot, None)
