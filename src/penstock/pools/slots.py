"""What the pools of many slots have in common: who runs where, and what waits for a slot."""

from __future__ import annotations

import threading
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Sequence

from penstock.core.job import Lease
from penstock.core.outcome import Outcome
from penstock.core.prefetch import TARGET_SECONDS
from penstock.pools.base import Pool, Work

#: Seconds over which to count what ends. In less, slots that end at the same time look like short jobs.
_SHORTEST_SAMPLE = TARGET_SECONDS / 5


class SlotsPool(Pool):
    """Slots with numbers. A slot that ends a job goes on with the next that waits, without asking anybody.

    One lock guards it all, held for a few hundred nanoseconds and never while anything is waited for.
    """

    def __init__(
        self, slots: int, work: Work, done: Callable[[Outcome], None], started: Callable[[int, Lease | None], bool]
    ) -> None:
        super().__init__(slots, work, done, started)
        self._lock = threading.Lock()
        self._leases: deque[Lease] = deque()
        self._current: dict[int, Lease] = {}
        # The last one freed is the next one used, so that few threads and little memory serve a light load.
        self._free = list(range(slots - 1, -1, -1))
        self._stopped = False
        self._ended = 0
        self._counting_since = time.perf_counter()

    @abstractmethod
    def _begin(self, starts: Sequence[tuple[int, Lease]]) -> None:
        """Have leases run in the slots that were given to them."""

    def room(self) -> int:
        """See `Pool.room`: the free slots, and for short jobs as many more as are soon run."""
        with self._lock:
            if self._stopped:
                return 0
            ended, now = self._ended, time.perf_counter()
            if ended and now - self._counting_since > _SHORTEST_SAMPLE:
                self._prefetch.ran(ended, now - self._counting_since)
                self._ended, self._counting_since = 0, now
            free = min(self._usable - len(self._current), len(self._free))
            return max(0, max(free, self._prefetch.limit if free or ended else 0) - len(self._leases))

    def submit(self, leases: Sequence[Lease]) -> None:
        """See `Pool.submit`."""
        starts: list[tuple[int, Lease]] = []
        with self._lock:
            pending, free, current = self._leases, self._free, self._current
            if not current and not self._ended:
                self._counting_since = time.perf_counter()
            pending.extend(leases)
            while pending and len(current) < self._usable and free and not self._stopped:
                slot, lease = free.pop(), pending.popleft()
                current[slot] = lease
                starts.append((slot, lease))
        if starts:
            self._begin(starts)

    def _next(self, slot: int, lease: Lease, outcome: Outcome | None) -> Lease | None:
        """A slot's lease has ended: tell, and give it the next one that waits, if any does. One without an outcome did not start."""
        with self._lock:
            if self._current.get(slot) is not lease:
                return None
            # Both at once: whoever finds the slot free must find the outcome handed on.
            if outcome is not None:
                self._done(outcome)
                self._ended += 1
            if self._leases and not self._stopped and len(self._current) <= self._usable:
                following = self._current[slot] = self._leases.popleft()
                return following
            self._started(slot, None)
            del self._current[slot]
            self._free.append(slot)
            return None

    def _free_slot(self, slot: int) -> None:
        """A slot's lease did not start after all."""
        with self._lock:
            del self._current[slot]
            self._free.append(slot)

    def waiting(self) -> int:
        """See `Pool.waiting`."""
        return len(self._leases)

    def take_back(self, keep: int = 0) -> list[Lease]:
        """See `Pool.take_back`."""
        with self._lock:
            taken = [self._leases.pop() for _ in range(len(self._leases) - keep)]
        taken.reverse()
        return taken

    def running(self) -> list[Lease]:
        """See `Pool.running`."""
        with self._lock:
            return list(self._current.values())

    def slot_of(self, lease: Lease) -> int | None:
        """See `Pool.slot_of`."""
        with self._lock:
            return self._where(lease)

    def _where(self, lease: Lease) -> int | None:
        return next((slot for slot, each in self._current.items() if each is lease), None)

    def idle(self) -> bool:
        """See `Pool.idle`."""
        with self._lock:
            return not self._leases and not self._current

    def condemn(self, lease: Lease) -> bool:
        """See `Pool.condemn`."""
        with self._lock:
            slot = self._where(lease)
            if slot is None:
                return False
            self._started(slot, None)
            del self._current[slot]
            return True

    def stop(self) -> None:
        """See `Pool.stop`."""
        with self._lock:
            self._stopped = True
