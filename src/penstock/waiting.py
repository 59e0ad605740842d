"""Waiting for jobs to end: who waits in this process, and one watch on the store for all of them while there are any."""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

from penstock.core.pace import Pace
from penstock.errors import PenstockError

T = TypeVar("T")

#: Seconds for which the store is watched after the last one has stopped waiting: another mostly follows.
_LINGER = 2.0
#: Seconds between looks, which become longer with each. They make up for what ended as the watch began, and for a hint that was lost.
_SHORTEST_LOOK = 0.001
_LONGER = 1.5
_LONGEST_LOOK = 2.0
#: The longest where the store tells nobody, or does not yet.
_LONGEST_POLL = 0.05

Tell = Callable[[Sequence[bytes]], None]


class _Waiter:
    """Somebody who waits for some jobs.

    Parameters:
        ids: of the jobs; None is any.
        wake: called from any thread when one of them may have ended.
    """

    __slots__ = ("ids", "told", "wake")

    def __init__(self, ids: Sequence[bytes] | None, wake: Callable[[], None]) -> None:
        self.ids = None if ids is None else frozenset(ids)
        self.wake = wake
        #: Those that may have ended; None is all of them.
        self.told: set[bytes] | None = set()


class Waiting:
    """Those who wait in one process.

    Parameters:
        watch: of a broker: see `Broker.watch_ends`. Called from a thread.
    """

    def __init__(self, watch: Callable[[Tell], AbstractContextManager[bool]]) -> None:
        self._watch = watch
        self._waiters: set[_Waiter] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._owner = os.getpid()
        self._hears = False
        self._closed = False

    @contextmanager
    def waiter(self, ids: Sequence[bytes] | None, wake: Callable[[], None]) -> Iterator[_Waiter]:
        """Have `wake` called from a thread whenever one of some jobs, or any job, may have ended, while the context is open."""
        waiter = _Waiter(ids, wake)
        with self._changed:
            self._waiters.add(waiter)
            if self._thread is None:
                self._thread = threading.Thread(target=self._keep_watch, name="penstock-wait", daemon=True)
                self._thread.start()
                # Whoever ends leaves nothing behind at which others would knock.
                atexit.register(self.close)
        try:
            yield waiter
        finally:
            with self._changed:
                self._waiters.discard(waiter)
                self._changed.notify_all()

    def take(self, waiter: _Waiter) -> set[bytes] | None:
        """The jobs that may have ended since the last time; None is all of them."""
        with self._changed:
            told, waiter.told = waiter.told, set()
            return told

    def pauses(self, timeout: float | None) -> Iterator[float]:
        """The seconds to wait for news before each next look; ends when the time is up.

        Parameters:
            timeout: seconds in all; None is for ever.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = _SHORTEST_LOOK
        while True:
            left = pause if deadline is None else deadline - time.monotonic()
            if left <= 0:
                return
            yield min(pause, left)
            pause = min(pause * _LONGER, _LONGEST_LOOK if self._hears else _LONGEST_POLL)

    def until_none_is_left(self, look: Callable[[], tuple[T, int]], timeout: float | None) -> T | None:
        """Look at counters whenever it may be worth it, until they say that nothing is under way; None where the time is up first.

        Parameters:
            look: gives what there is, and how much of it has not ended.
            timeout: seconds in all; None is for ever, 0 is one look.
        """
        seen, left = look()
        if left:
            news, gate = threading.Event(), threading.Event()
            pace = Pace(left, time.monotonic())
            with self.waiter(None, news.set):
                for pause in self.pauses(timeout):
                    if news.wait(pause):
                        # What ends is mostly of these, and most of that is not their end.
                        gate.wait(min(pause, pace.too_early(time.monotonic())))
                    news.clear()
                    seen, left = look()
                    if not left:
                        break
                    pace.seen(left, time.monotonic())
        return None if left else seen

    def close(self) -> None:
        """Watch no longer."""
        if self._owner != os.getpid():
            return  # the thread, and who has the lock, are the parent's
        with self._changed:
            self._closed = True
            thread = self._thread
            self._changed.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_LINGER)

    def _tell(self, ids: Sequence[bytes]) -> None:
        """Jobs have ended; with none, any may have."""
        woken = []
        with self._changed:
            for waiter in self._waiters:
                if not ids or waiter.ids is None:
                    waiter.told = None
                    woken.append(waiter)
                elif not waiter.ids.isdisjoint(ids):
                    if waiter.told is not None:
                        waiter.told.update(waiter.ids.intersection(ids))
                    woken.append(waiter)
        for waiter in woken:
            waiter.wake()

    def _keep_watch(self) -> None:
        """Watch the store until nobody has waited for a while."""
        try:
            with self._watch(self._tell) as hears:
                self._hears = hears
                # What ended while the watch was being set up is looked for once more.
                self._tell(())
                self._until_idle()
        except PenstockError:
            # Whoever waits asks the store itself, and hears from it what is wrong.
            self._until_idle()
        finally:
            atexit.unregister(self.close)

    def _until_idle(self) -> None:
        """Wait until nobody has waited for a while; who comes next begins another watch."""
        with self._changed:
            idle = False
            while not (self._closed or idle):
                self._changed.wait_for(lambda: self._closed or not self._waiters)
                idle = not self._changed.wait_for(lambda: self._closed or bool(self._waiters), _LINGER)
            self._thread, self._hears = None, False
