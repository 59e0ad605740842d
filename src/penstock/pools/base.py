"""What a pool does: run leases in its slots. It decides nothing about them, and never sees the broker."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from penstock.core.job import Lease
from penstock.core.outcome import Outcome

Run = Callable[[Lease], Outcome]


class Pool(ABC):
    """Slots in one process.

    Parameters:
        slots: how many jobs may run at a time.
        run: runs a lease to its outcome, in a slot.
        done: is told each outcome, from any thread; it may not wait, nor call the pool.
        started: is told the slot and the lease as it starts, and the slot and None when it ended.
    """

    def __init__(
        self, slots: int, run: Run, done: Callable[[Outcome], None], started: Callable[[int, Lease | None], None]
    ) -> None:
        self.slots = slots
        self._run = run
        self._done = done
        self._started = started

    @abstractmethod
    def room(self) -> int:
        """How many leases to take now."""

    @abstractmethod
    def submit(self, leases: Sequence[Lease]) -> None:
        """Take leases. A pool whose slot is the calling thread runs them before it returns."""

    @abstractmethod
    def take_back(self) -> list[Lease]:
        """The leases that have not started, which are the caller's again. Safe from any thread."""

    @abstractmethod
    def running(self) -> list[Lease]:
        """The leases that have started and not ended. Safe from any thread."""

    @abstractmethod
    def idle(self) -> bool:
        """Is there no lease, neither waiting nor running? Safe from any thread."""

    @abstractmethod
    def stop(self) -> None:
        """Start no more leases. Safe from any thread."""
