"""Does work move? Counts what ends, sends a canary where nothing has for a while, and finds who does not react."""

from __future__ import annotations

import math
from enum import Enum, auto

from penstock.core.health import STORE_SECONDS
from penstock.worker import link as message
from penstock.worker.child import Child
from penstock.worker.crews import Crews

#: Seconds without an ended job after which a canary is sent, while a process is idle.
EVERY = 5.0
#: Seconds between two looks, at least: the words of busy processes wake their supervisor more often.
_LOOKS = 0.1
#: Seconds that a process has, which a canary waits for, until it counts as stuck.
BEARER_SECONDS = 20.0
#: Seconds for which another may show nothing, neither rest nor a job that runs. A store's own time limits are shorter.
STUCK_SECONDS = 90.0


class _Canary(Enum):
    NONE = auto()
    WANTED = auto()  # to be enqueued, by the upkeep's thread
    STORED = auto()  # enqueued: a process is to be told
    OUT = auto()  # a process was told


class Pulse:
    """A worker's proof that it works. All but `wanted` and `sent` belongs to the supervisor's thread.

    Parameters:
        active: send canaries. Without, what ends is counted only.
    """

    def __init__(self, crews: Crews, *, active: bool) -> None:
        self._crews = crews
        self._active = active
        self._canary = _Canary.NONE
        self._since = 0.0
        self._bearer: int | None = None
        self._ended = 0
        self._next_look = 0.0
        self._moved_at = 0.0
        #: Since when nothing has ended that should have, in monotonic seconds.
        self._stalled_at: float | None = None

    @property
    def proven(self) -> bool:
        """Has a job ended, and the store knows?"""
        return self._ended > 0

    def stalled_for(self, now: float) -> float:
        """Seconds for which nothing has ended though a canary is out."""
        return 0.0 if self._stalled_at is None else now - self._stalled_at

    def due(self) -> float:
        """When to look again, in monotonic seconds; inf where nothing is under way."""
        return math.inf if self._canary is _Canary.NONE else self._next_look

    def wanted(self) -> bool:
        """Is a canary to be enqueued? Asked in the upkeep's thread."""
        return self._canary is _Canary.WANTED

    def sent(self) -> None:
        """It is enqueued. Told in the upkeep's thread."""
        self._canary = _Canary.STORED

    def look(self, now: float, silent_for: float | None) -> list[Child]:
        """Look whether work moves; returns the processes that do not react, and are to be replaced.

        Parameters:
            now: monotonic seconds.
            silent_for: seconds since the store answered, None when it never has; while it does not, nobody is to blame.
        """
        if now < self._next_look:
            return []
        self._next_look = now + _LOOKS
        ended = self._crews.ended()
        if ended != self._ended:
            self._ended, self._moved_at, self._stalled_at = ended, now, None
            self._canary = _Canary.NONE
        if not self._active:
            return []
        if silent_for is None or silent_for > STORE_SECONDS / 2:
            self._canary, self._stalled_at = _Canary.NONE, None
            for child in self._crews.children:
                child.shown_at = now
            return []
        self._send(now)
        return self._deaf(now)

    def _send(self, now: float) -> None:
        idle = next((child for child in self._crews.children if child.resting), None)
        match self._canary:
            case _Canary.NONE:
                if idle is not None and (now - self._moved_at > EVERY or not self._ended):
                    self._canary, self._since = _Canary.WANTED, now
            case _Canary.STORED:
                if idle is None:
                    return  # something moves: whoever rests next takes it
                idle.idle = False
                idle.shown_at = now
                idle.tell(message.CANARY)
                self._canary, self._since, self._bearer = _Canary.OUT, now, idle.number
                if self._stalled_at is None:
                    self._stalled_at = now
            case _Canary.OUT:
                if now - self._since > EVERY:
                    # Another worker may have taken it, or its process is busy: send another.
                    self._canary = _Canary.NONE

    def _deaf(self, now: float) -> list[Child]:
        found = []
        for child in self._crews.children:
            if child.idle or child.leaving or not child.booted or child.board.busy():
                child.shown_at = now
            elif now - child.shown_at > (BEARER_SECONDS if child.number == self._bearer else STUCK_SECONDS):
                found.append(child)
        return found
