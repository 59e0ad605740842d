"""How large a lane should be now: up soon when work waits longer than it should, down slowly when slots are spare."""

from __future__ import annotations

from collections import deque

import msgspec

from penstock.core.extent import Extent
from penstock.core.sizes import format_bytes

#: Seconds that a job may wait for a slot before there should be more of them.
TARGET = 0.5
#: Seconds between two steps up. Each doubles the size: from 1 to 8 processes in three steps.
STEP_UP = 0.2
#: Seconds for which slots must have been spare before the lane shrinks, and then between two steps.
SPARE = 10.0
STEP_DOWN = 2.0
#: The part of the slots that leaves in one step down.
_SHARE_DOWN = 0.1
#: The part of the slots that must be in use for a longer queue to be a reason for more: jobs that wait beside free slots wait
#: for something else, such as a limit of theirs.
_IN_USE = 0.8
#: Seconds after which what a slot once took counts half.
_HALF_LIFE = 120.0


class Look(msgspec.Struct, frozen=True):
    """How a lane stands.

    Parameters:
        at: when, in monotonic seconds.
        size: slots in all that there should be.
        up: slots of processes that have come up.
        busy: slots in use.
        ready: jobs that could start.
        waited: seconds for which the oldest of them could have.
        memory: bytes that the worker has, all lanes together.
        share: of that memory, what this lane has.
        sharing: slots of the processes that have it, also of those that come up or leave.
        coming: bytes that other lanes will have beyond what they have now.
        budget: bytes that the worker may have.
    """

    at: float
    size: int
    up: int
    busy: int
    ready: int = 0
    waited: float = 0.0
    memory: int = 0
    share: int = 0
    sharing: int = 0
    coming: float = 0.0
    budget: int | None = None


class Decision(msgspec.Struct, frozen=True):
    """Slots in all that there should be from now on, and the reason of the latest change."""

    size: int
    why: str


class Scale:
    """Decides for one lane, look by look.

    Parameters:
        extent: the most; its `least` is the least.
        target: seconds that a job may wait.
    """

    def __init__(self, extent: Extent, target: float = TARGET) -> None:
        self._most = extent.most
        self._least = extent.most if extent.least is None else extent.least
        self._target = target
        self._why = "as it started"
        self._changed_at = float("-inf")
        self._seen_at: float | None = None
        self._cost = 0.0
        self._uses: deque[tuple[float, int]] = deque()

    def decide(self, look: Look) -> Decision:
        """The size that fits what is seen."""
        self._learn(look)
        size, why = self._wanted(look)
        if size != look.size:
            self._changed_at = look.at
            self._why = why
        return Decision(size, self._why)

    def coming(self, size: int, share: int) -> float:
        """Bytes that so many slots will take beyond what they have: some are not up yet, others rest between two jobs."""
        return max(0.0, size * self._cost - share)

    def _wanted(self, look: Look) -> tuple[int, str]:
        if look.size <= 0:
            return look.size, ""  # the last processes of a burst end
        since = look.at - self._changed_at
        if look.budget is not None and look.memory > look.budget:
            # What was told to leave has its memory until its job has ended.
            fitting = (
                look.size - 1 if self._cost <= 0 else look.size - int(-(-(look.memory - look.budget) // self._cost))
            )
            size = max(self._least, min(look.size - 1, fitting))
            if since >= STEP_DOWN and size < look.size:
                return size, f"memory: {format_bytes(look.memory)} of {format_bytes(look.budget)}"
            return look.size, ""
        if look.ready and look.waited > self._target and look.busy >= look.up * _IN_USE and look.up:
            size = min(self._most, look.size + min(look.size, look.ready, self._room(look)))
            if since >= STEP_UP and size > look.size:
                return size, f"jobs waited {look.waited:.1f} s"
            return look.size, ""
        return self._smaller(look, since)

    def _smaller(self, look: Look, since: float) -> tuple[int, str]:
        """One step down, if there have been spare slots for long."""
        seen_for = look.at - self._uses[0][0]
        used = max(busy for _, busy in self._uses)
        step = max(1, int(look.size * _SHARE_DOWN))
        size = max(self._least, used, look.size - step)
        if size < look.size and seen_for >= SPARE and since >= STEP_DOWN:
            return size, f"{used} of {look.size} were in use for {SPARE:g} s"
        return look.size, ""

    def _room(self, look: Look) -> int:
        """Slots that fit into the memory that is left, when each takes what one has taken."""
        if look.budget is None:
            return self._most
        left = look.budget - look.memory - look.coming - self.coming(look.size, look.share)
        return max(0, int(left / self._cost)) if self._cost > 0 else self._most

    def _learn(self, look: Look) -> None:
        """Note how many slots were in use, and what one of them takes."""
        waiting = look.ready and look.waited > self._target
        if look.busy >= look.size or waiting:
            self._uses.clear()
        self._uses.append((look.at, look.busy))
        # The oldest entry stands for a window that is seen as a whole; what lies before it is forgotten.
        while len(self._uses) > 1 and self._uses[1][0] <= look.at - SPARE:
            self._uses.popleft()
        if self._seen_at is not None:
            self._cost *= 0.5 ** (max(0.0, look.at - self._seen_at) / _HALF_LIFE)
        self._seen_at = look.at
        if look.sharing:
            self._cost = max(self._cost, look.share / look.sharing)
