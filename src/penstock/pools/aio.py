"""Slots that are tasks of one event loop: async tasks as they are, and plain ones in threads beside it.

The loop has a thread of its own, so that a task which blocks it holds up its neighbours and not the process: its
supervisor is still answered, what has ended is handed in, and what waits goes back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from penstock.core.job import Lease
from penstock.core.outcome import Outcome
from penstock.pools.base import Work
from penstock.pools.loop import LoopThread
from penstock.pools.threads import ThreadsPool


class AsyncioPool(ThreadsPool):
    """The slots of both kinds are the same ones: together they are at most `slots`."""

    def __init__(
        self, slots: int, work: Work, done: Callable[[Outcome], None], started: Callable[[int, Lease | None], bool]
    ) -> None:
        super().__init__(slots, work, done, started)
        self._arrived: deque[tuple[int, Lease]] = deque()
        self._called = False
        self._loop = LoopThread()

    def room(self) -> int:
        """See `Pool.room`: none while the loop does not come to start what it was given."""
        return 0 if self._called else super().room()

    def waiting(self) -> int:
        """See `Pool.waiting`: those that the loop was given are the first of them."""
        return len(self._arrived) + super().waiting()

    def take_back(self, keep: int = 0) -> list[Lease]:
        """See `Pool.take_back`."""
        taken = super().take_back(max(0, keep - len(self._arrived)))
        while len(self._arrived) > keep:
            try:
                slot, lease = self._arrived.pop()
            except IndexError:
                break
            self._free_slot(slot)
            taken.insert(0, lease)
        return taken

    def running(self) -> list[Lease]:
        """See `Pool.running`."""
        arrived = {slot for slot, _ in tuple(self._arrived)}
        with self._lock:
            return [lease for slot, lease in self._current.items() if slot not in arrived]

    def responds(self) -> bool:
        """See `Pool.responds`: does the loop?"""
        return self._loop.responds()

    def close(self) -> None:
        """See `Pool.close`."""
        super().close()
        self._loop.close()

    def _begin(self, starts: Sequence[tuple[int, Lease]]) -> None:
        is_async = self._work.is_async
        plain = [start for start in starts if not is_async(start[1])]
        if len(plain) < len(starts):
            # One call for all of them: waking the loop costs more than what it then does.
            self._arrived.extend(start for start in starts if is_async(start[1]))
            self._called = True
            self._loop.call(self._arrive)
        if plain:
            super()._begin(plain)

    def _is_elsewhere(self, lease: Lease) -> bool:
        return self._work.is_async(lease)

    def _arrive(self) -> None:
        self._called = False
        while self._arrived and not self._stopped:
            try:
                slot, lease = self._arrived.popleft()
            except IndexError:
                break
            self._loop.create(self._serve_async(slot, lease))

    async def _serve_async(self, slot: int, lease: Lease) -> None:
        declined = self._started(slot, lease)
        following = self._next(slot, lease, None if declined else await self._work.run_async(lease, slot))
        if following is None:
            return
        if self._work.is_async(following):
            # A task of its own: what a job sets in its context is not for the next one.
            self._loop.create(self._serve_async(slot, following))
        else:
            super()._begin([(slot, following)])
