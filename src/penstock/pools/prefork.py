"""One slot: the process's main thread. Concurrency comes from running several such processes."""

from __future__ import annotations

import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from types import FrameType

from penstock.core.job import Lease
from penstock.core.outcome import Outcome
from penstock.pools.base import Handler, Pool, Work, always
from penstock.pools.frames import runs_user_code, takes_a_lock

#: Interrupts the main thread. Ignored by default, so that one which comes late, or to a process that a job has forked,
#: does no harm; hardly any program uses it.
SIGNAL = signal.SIGURG


class PreforkPool(Pool):
    """Runs each batch of leases in the calling thread, one after another.

    Both ends of the deque of leases are safe to take from by another thread: this one takes from the left what it
    starts, and `take_back` from the right what it gives back.
    """

    inline = True

    def __init__(
        self, slots: int, work: Work, done: Callable[[Outcome], None], started: Callable[[int, Lease | None], bool]
    ) -> None:
        super().__init__(1, work, done, started)
        self._leases: deque[Lease] = deque()
        self._current: Lease | None = None
        self._stopped = False
        self._main = threading.get_ident()
        self._interruption: tuple[Lease, BaseException, Callable[[], bool]] | None = None

    def room(self) -> int:
        """See `Pool.room`."""
        return 0 if self._stopped else self._prefetch.limit

    def submit(self, leases: Sequence[Lease]) -> None:
        """See `Pool.submit`."""
        pending, run, done, started = self._leases, self._work.run, self._done, self._started
        pending.extend(leases)
        began = time.perf_counter()
        ran = 0
        while not self._stopped:
            try:
                lease = pending.popleft()
            except IndexError:
                break
            self._current = lease
            if started(0, lease):
                continue
            done(run(lease, 0))
            ran += 1
        self._current = None
        started(0, None)
        self._prefetch.ran(ran, time.perf_counter() - began)

    def waiting(self) -> int:
        """See `Pool.waiting`."""
        return len(self._leases)

    def take_back(self, keep: int = 0) -> list[Lease]:
        """See `Pool.take_back`."""
        taken: list[Lease] = []
        while len(self._leases) > keep:
            try:
                taken.append(self._leases.pop())
            except IndexError:
                break
        taken.reverse()
        return taken

    def running(self) -> list[Lease]:
        """See `Pool.running`."""
        current = self._current
        return [] if current is None else [current]

    def slot_of(self, lease: Lease) -> int | None:
        """See `Pool.slot_of`."""
        return 0 if self._current is lease else None

    def idle(self) -> bool:
        """See `Pool.idle`."""
        return not self._leases and self._current is None

    def interrupt(self, lease: Lease, error: BaseException, claim: Callable[[], bool] = always) -> bool:
        """See `Pool.interrupt`: by a signal, which also ends the system call that the job may wait in."""
        if self._current is not lease:
            return False
        self._interruption = lease, error, claim
        signal.pthread_kill(self._main, SIGNAL)
        return True

    def handlers(self) -> dict[int, Handler]:
        """See `Pool.handlers`."""
        return {SIGNAL: self._interrupted}

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        """In the main thread, between two steps of whatever runs there: raise only out of the user's own code."""
        interruption, self._interruption = self._interruption, None
        if interruption is None:
            return
        lease, error, claim = interruption
        if self._current is lease and runs_user_code(frame) and not takes_a_lock(frame) and claim():
            raise error

    def condemn(self, lease: Lease) -> bool:
        """See `Pool.condemn`: the process of a job that can't be ended is killed."""
        return False

    def stop(self) -> None:
        """See `Pool.stop`."""
        self._stopped = True
