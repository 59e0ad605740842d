"""What the listening thread hears: it wakes processes, and has the upkeep take its next round sooner."""

from __future__ import annotations

import math
import threading
import time
from typing import Protocol

from penstock.brokers.listener import Listener

#: Seconds by which a round waits that is due to a ring: what was enqueued starts first, and rings that come together share it. On two cores
#: the round took from the job that had just come what its first line waits for.
_GIVING_WAY = 0.005
#: Seconds between rounds that are due to nothing but ready jobs. They ask for none, but for the limits of their queue: 50 jobs a second,
#: one by one, had as many rounds.
_APART = 0.1


class Rung(Protocol):
    """Who is rung for; both are called from the listening thread."""

    def heard_bell(self, *, sent: bool = False) -> None:
        """There may be new work, `sent` to those who stand by or not. May block while nobody is idle."""

    def wait_for_idle(self, seconds: float) -> bool:
        """Wait until a process is idle, at most so long; is one?"""


class Hearing(Listener):
    """Between the thread that listens and the one that keeps the worker up.

    Parameters:
        nudge: is set where a round is to begin now.
    """

    def __init__(self, worker: Rung, nudge: threading.Event) -> None:
        self._worker = worker
        self._nudge = nudge
        self._heard_at = -math.inf
        # The listener waits until a process is idle, and hears nothing in the meantime.
        self._held = False
        # Is a round wanted for what was enqueued?
        self._rung = False
        # Have jobs come since the last one began that are ready?
        self._has_news = False
        # When the last one was over.
        self._went_round = -math.inf

    def wake(self) -> None:
        """In the listening thread: a delayed job may be due sooner now, and there may be work."""
        self._rung = True
        self._nudge.set()
        self._wake()

    def ready(self) -> None:
        """In the listening thread: there may be work."""
        self._has_more(sent=False)

    def sent(self) -> None:
        """In the listening thread: there may be work, for those who do not stand by."""
        self._has_more(sent=True)

    def _has_more(self, *, sent: bool) -> None:
        # In this order: who waits looks at it when the pause is over, and waits on for the nudge.
        self._has_news = True
        if time.monotonic() - self._went_round >= _APART:
            self._rung = True
            self._nudge.set()
        self._wake(sent=sent)

    def idle(self, seconds: float) -> bool:
        """In the listening thread: wait until a process is idle, at most so long; is one?"""
        self._held = True
        self._held = not self._worker.wait_for_idle(seconds)
        return not self._held

    def has_heard(self, since: float) -> bool:
        """Has it heard anything since then (monotonic seconds), or could it not for lack of an idle process?"""
        return self._held or self._heard_at >= since

    def round_begins(self) -> None:
        """What comes from now on is for the next round."""
        self._has_news = False

    def round_ends(self) -> None:
        """The upkeep has gone round."""
        self._went_round = time.monotonic()

    def wait(self, seconds: float) -> None:
        """Wait for the next round, which what is heard makes sooner."""
        soon = min(seconds, _APART)
        if not self._nudge.wait(soon) and not self._has_news:
            self._nudge.wait(seconds - soon)
        if self._rung:
            self._rung = False
            time.sleep(_GIVING_WAY)

    def _wake(self, *, sent: bool = False) -> None:
        self._heard_at = time.monotonic()
        self._held = True
        try:
            self._worker.heard_bell(sent=sent)
        finally:
            self._held = False
