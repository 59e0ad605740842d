"""What a pool does: run leases in its slots. It decides nothing about them, and never sees the broker."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from types import FrameType
from typing import Any, Protocol

from penstock.core.job import Lease
from penstock.core.outcome import Outcome
from penstock.core.prefetch import Prefetch

#: Calls a function of the user's with its decoded arguments.
Call = Callable[[Callable[[Any], Any], Any], Any]

#: Handles a signal.
Handler = Callable[[int, FrameType | None], object]


class Work(Protocol):
    """What a pool has to run; `slot` is the number of the one that it runs in."""

    def run(self, lease: Lease, slot: int) -> Outcome:
        """Run a lease to its outcome. Raises nothing."""

    def is_async(self, lease: Lease) -> bool:
        """Had it better run in an event loop?"""

    def run_async(self, lease: Lease, slot: int) -> Coroutine[Any, Any, Outcome]:
        """Run a lease of an async task to its outcome, in the event loop of the caller."""


def always() -> bool:
    """Claims every interruption; see `Pool.interrupt`."""
    return True


class Pool(ABC):
    """Slots in one process.

    Parameters:
        slots: how many jobs may run at a time.
        work: runs a lease to its outcome, in a slot.
        done: is told each outcome, from any thread; it may not wait, nor call the pool.
        started: is told the slot and the lease as it starts, and the slot and None when it ended; where it says so, the lease
            is not to start after all, and is not the pool's any more.
    """

    #: Are the leases run by the thread that submits them?
    inline = False
    #: What user code may raise here that is no `Exception`, and yet no reason to end the process.
    errors: tuple[type[BaseException], ...] = ()

    def __init__(
        self, slots: int, work: Work, done: Callable[[Outcome], None], started: Callable[[int, Lease | None], bool]
    ) -> None:
        self.slots = slots
        self._usable = slots
        self._work = work
        self._done = done
        self._started = started
        self._prefetch = Prefetch()

    @property
    def call(self) -> Call | None:
        """How user code is to be called so that `interrupt` finds it; None where a plain call will do."""
        return None

    @property
    def share(self) -> float:
        """Seconds of work that `room` asks for at once. Safe from any thread."""
        return self._prefetch.target

    def exchanged(self, seconds: float, least: float = 0.0) -> None:
        """An exchange with the store took so long, and what it brought may be taken by `least` seconds of work at once.

        For the thread that asks for `room`.
        """
        self._prefetch.exchanged(seconds, least)

    @abstractmethod
    def room(self) -> int:
        """How many leases to take now."""

    @abstractmethod
    def submit(self, leases: Sequence[Lease]) -> None:
        """Take leases. A pool whose slot is the calling thread runs them before it returns."""

    @abstractmethod
    def waiting(self) -> int:
        """How many leases have not started. Safe from any thread."""

    @abstractmethod
    def take_back(self, keep: int = 0) -> list[Lease]:
        """The leases that have not started, but for the first `keep`; they are the caller's again. Safe from any thread."""

    @abstractmethod
    def running(self) -> list[Lease]:
        """The leases that have started and not ended. Safe from any thread."""

    @abstractmethod
    def slot_of(self, lease: Lease) -> int | None:
        """The number of the slot in which a lease runs; None where it does not. Safe from any thread."""

    @abstractmethod
    def idle(self) -> bool:
        """Is there no lease, neither waiting nor running? Safe from any thread."""

    @abstractmethod
    def interrupt(self, lease: Lease, error: BaseException, claim: Callable[[], bool] = always) -> bool:
        """Raise an error in the user's code that a lease runs, if it does and if it can be reached. Safe from any thread.

        Parameters:
            claim: asked right before, in whatever thread; the error is raised if it says so.

        Returns:
            Whether the lease was found. Whether the error is raised only `claim` knows: between two items of a packed
            row, say, nothing of the user's runs. Then ask again.
        """

    @abstractmethod
    def condemn(self, lease: Lease) -> bool:
        """Count a running lease as ended: nobody waits for it, its slot stays taken, and what it ends with is dropped.

        False when it has ended before. Safe from any thread.
        """

    def responds(self) -> bool:
        """Do the slots go on, as far as can be seen from another thread? May wait for some 50 ms."""
        return True

    @abstractmethod
    def stop(self) -> None:
        """Start no more leases. Safe from any thread."""

    def resize(self, slots: int) -> None:
        """Use so many of the slots from now on; those that are too many end what they run. Safe from any thread."""
        self._usable = max(1, min(slots, self.slots))

    def handlers(self) -> dict[int, Handler]:
        """The signals that `interrupt` needs, and what is to handle them in the main thread."""
        return {}

    def close(self) -> None:
        """Start nothing more, and let go of what the pool has beside its slots, once nothing runs any more."""
        self.stop()
