"""The limits of the jobs that run: noted where the supervisor sees them, and watched over by a thread."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Protocol

from penstock.core.decide import Terms
from penstock.core.job import Lease
from penstock.errors import JobCancelled, TimeLimitExceeded

#: Seconds until an interruption that met no code of the user's is tried again.
_AGAIN = 0.02
_LONGEST_WAIT = 60.0


class Note(Protocol):
    """Has a slot's limits where they can be seen from outside; see `Board.limit`."""

    def __call__(self, slot: int, kill_at: float = 0.0, memory: int = 0) -> None:
        """Note them."""


class Limit:
    """What one running job may take; of a packed row, what each of its items may."""

    __slots__ = ("_began", "_note", "_soft_at", "error", "kill_at", "lease", "slot", "terms")

    def __init__(self, note: Note, slot: int, lease: Lease, terms: Terms) -> None:
        self._note = note
        self._began = time.monotonic()
        self.slot = slot
        self.lease = lease
        self.terms = terms
        #: To be raised in it, once it is due.
        self.error: BaseException = TimeLimitExceeded(f"it ran longer than its timeout of {terms.timeout} s")
        self._soft_at: float = math.inf
        #: When it has to have ended, in monotonic seconds.
        self.kill_at: float = math.inf
        self.restart()

    def restart(self) -> None:
        """From now on: it starts, or its next item does."""
        timeout = self.terms.timeout
        if timeout is not None and not isinstance(self.error, JobCancelled):
            self._soft_at = time.monotonic() + timeout
            self.kill_at = self._soft_at + self.terms.kill_after
        self._tell()

    def cancel(self) -> None:
        """It is to be interrupted now, for good. Whoever asked for it sees to the process, so nothing is noted."""
        self.error = JobCancelled("the job was cancelled as it ran")
        self._soft_at = time.monotonic()
        self.kill_at = self._soft_at + self.terms.kill_after

    @property
    def soft_at(self) -> float:
        """When to interrupt it, in monotonic seconds; never is inf, and so it is once it was."""
        return self._soft_at

    @property
    def seconds(self) -> float:
        """For how long the job has run."""
        return time.monotonic() - self._began

    def claim(self) -> bool:
        """Right before it is interrupted: is that due, still? True once."""
        if time.monotonic() < self._soft_at:
            return False
        self._soft_at = math.inf
        return True

    def _tell(self) -> None:
        self._note(self.slot, 0.0 if self.kill_at == math.inf else self.kill_at, self.terms.memory or 0)


class Limits:
    """The jobs with limits that run now, and the thread that sees to them; started with the first of them.

    Parameters:
        note: has a slot's limits where they can be seen from outside.
        interrupt: raises an error in a job, if the claim that goes with it still says so; False where the job is gone.
        condemn: is told of a job that did not end in time, and again soon if it says no; None where its process is
            killed for it from outside.
    """

    def __init__(
        self,
        note: Note,
        interrupt: Callable[[Lease, BaseException, Callable[[], bool]], bool],
        condemn: Callable[[Limit], bool] | None,
    ) -> None:
        self._note = note
        self._interrupt = interrupt
        self._condemn = condemn
        self._running: dict[bytes, Limit] = {}
        self._nudged = threading.Event()
        self._next_look = 0.0
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def enter(self, slot: int, lease: Lease, terms: Terms) -> Limit:
        """A job with limits starts."""
        limit = Limit(self._note, slot, lease, terms)
        self._watch(limit)
        return limit

    def leave(self, lease: Lease) -> None:
        """It has ended. Also for one that never entered."""
        self._running.pop(lease.id, None)

    def cancel(self, slot: int, lease: Lease, terms: Terms) -> None:
        """Interrupt a job that runs, and see to it that it ends."""
        limit = self._running.get(lease.id) or Limit(self._note, slot, lease, terms)
        limit.cancel()
        self._watch(limit)

    def _watch(self, limit: Limit) -> None:
        self._running[limit.lease.id] = limit
        if self._thread is None:
            with self._starting:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._look, name="penstock-limits", daemon=True)
                    self._thread.start()
        if limit.soft_at < self._next_look:
            self._nudged.set()

    def _look(self) -> None:
        while True:
            self._nudged.clear()
            now = time.monotonic()
            next_look = now + _LONGEST_WAIT
            self._next_look = next_look
            for limit in list(self._running.values()):
                if limit.soft_at <= now:
                    if not self._interrupt(limit.lease, limit.error, limit.claim):
                        self._drop(limit)
                    next_look = min(next_look, now + _AGAIN)
                elif limit.soft_at < next_look:
                    next_look = limit.soft_at
                if self._condemn is not None and limit.kill_at < next_look:
                    next_look = self._see_to(limit, now, next_look)
            self._next_look = next_look
            self._nudged.wait(max(0.0, next_look - time.monotonic()))

    def _see_to(self, limit: Limit, now: float, next_look: float) -> float:
        if now < limit.kill_at:
            return limit.kill_at
        if self._condemn is not None and not self._condemn(limit):
            return min(next_look, now + _AGAIN)
        self._drop(limit)
        return next_look

    def _drop(self, limit: Limit) -> None:
        if self._running.get(limit.lease.id) is limit:
            del self._running[limit.lease.id]
