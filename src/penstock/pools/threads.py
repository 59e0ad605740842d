"""Slots that are threads of one process: for jobs that wait."""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any

from penstock.core.job import Lease
from penstock.core.outcome import Outcome
from penstock.pools.base import Call, Work, always
from penstock.pools.frames import takes_a_lock
from penstock.pools.slots import SlotsPool

#: Seconds to wait for a window's lock, which its thread holds for as long as it takes to set a field.
_PATIENCE = 0.1


class ThreadsPool(SlotsPool):
    """Threads that are started as they are needed, up to `slots`."""

    def __init__(
        self, slots: int, work: Work, done: Callable[[Outcome], None], started: Callable[[int, Lease | None], bool]
    ) -> None:
        super().__init__(slots, work, done, started)
        self._starts: SimpleQueue[tuple[int, Lease] | None] = SimpleQueue()
        self._threads = 0
        self._unused = 0
        self._windows: dict[int, _Window] = {}
        self._here = threading.local()

    @property
    def call(self) -> Call:
        """See `Pool.call`."""
        return self._call

    def _begin(self, starts: Sequence[tuple[int, Lease]]) -> None:
        with self._lock:
            if self._stopped:
                # The threads have been told to end: none of them would come for these, which are taken back then.
                for slot, lease in reversed(starts):
                    del self._current[slot]
                    self._free.append(slot)
                    self._leases.appendleft(lease)
                return
            used = min(len(starts), self._unused)
            self._unused -= used
            first = self._threads
            # A thread that has freed its slot and is not back yet comes for one of these, too.
            self._threads += min(len(starts) - used, self.slots - first)
            last = self._threads
            # Under the lock, so that what tells the threads to end comes behind them.
            for start in starts:
                self._starts.put(start)
        for number in range(first, last):
            threading.Thread(target=self._serve, name=f"penstock-slot-{number}", daemon=True).start()

    def stop(self) -> None:
        """See `Pool.stop`."""
        super().stop()
        for _ in range(self._threads):
            self._starts.put(None)

    def _serve(self) -> None:
        window = self._here.window = _Window(threading.get_ident())
        while (start := self._starts.get()) is not None:
            slot, lease = start
            self._windows[slot] = window
            following: Lease | None = lease
            while following is not None:
                lease = window.lease = following
                declined = self._started(slot, lease)
                following = self._next(slot, lease, None if declined else self._work.run(lease, slot))
                if following is not None and self._is_elsewhere(following):
                    self._begin([(slot, following)])
                    following = None
            window.lease = None
            with self._lock:
                self._unused += 1

    def _is_elsewhere(self, lease: Lease) -> bool:
        """Is a lease not to be run by a thread? For a pool that has other means besides."""
        return False

    def interrupt(self, lease: Lease, error: BaseException, claim: Callable[[], bool] = always) -> bool:
        """See `Pool.interrupt`: as soon as the thread runs Python code again."""
        slot = self.slot_of(lease)
        window = None if slot is None else self._windows.get(slot)
        return window is not None and window.aim(lease, error, claim)

    def _call(self, function: Callable[[Any], Any], arguments: Any) -> Any:
        window: _Window = self._here.window
        window.open = True
        try:
            try:
                return function(arguments)
            finally:
                window.close()
        except BaseException:
            # It may have come while the window was being closed.
            window.close()
            raise


class _Window:
    """While it is open, an exception may be raised in its thread from outside; not before, and not after.

    Python raises such an exception at any later moment of the thread. So closing takes the lock under which one is
    sent, and takes back one that has not arrived: the code that runs outside of the window never meets it.
    """

    __slots__ = ("_aimed", "_ident", "_lock", "lease", "open")

    def __init__(self, ident: int) -> None:
        self._ident = ident
        self._lock = threading.Lock()
        self._aimed = False
        self.lease: Lease | None = None
        self.open = False

    def aim(self, lease: Lease, error: BaseException, claim: Callable[[], bool]) -> bool:
        if not self._lock.acquire(timeout=_PATIENCE):
            return False
        try:
            busy = not self.open or self.lease is not lease or takes_a_lock(sys._current_frames().get(self._ident))
            if busy or not claim():
                return False
            self._aimed = True
            _raise_in(self._ident, _class_of(error))
            return True
        finally:
            self._lock.release()

    def close(self) -> None:
        with self._lock:
            self.open = False
            aimed, self._aimed = self._aimed, False
        if aimed:
            _raise_in(self._ident, None)


def _class_of(error: BaseException) -> type[BaseException]:
    """A class whose instances are like an error: a thread can be sent a class and nothing else."""
    kind = type(error)

    def init(self: BaseException) -> None:
        kind.__init__(self, *error.args)

    namespace = {"__init__": init, "__module__": kind.__module__, "__qualname__": kind.__qualname__}
    return type(kind.__name__, (kind,), namespace)


def _raise_in(ident: int, kind: type[BaseException] | None) -> None:
    """Have a thread raise an exception, or take back one that it has not raised yet."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), None if kind is None else ctypes.py_object(kind))
