"""The processes of one lane: how many there should be, which there are, and when the next may start."""

from __future__ import annotations

import msgspec

from penstock.worker.child import Child
from penstock.worker.lane import Lane

#: Seconds before a process is started after one that did not come up: the first, and the longest of those that follow.
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
#: Seconds that a process must have worked for its death not to count as one at boot.
STEADY_SECONDS = 1.0


class LaneState(msgspec.Struct, frozen=True):
    """A lane as it stands.

    Parameters:
        queues: that it takes from; empty until its first process has said so.
        processes: how many there should be.
        slots: how many each of them may use.
        running: how many processes there are, without those that leave.
        booted: how many of them have come up.
        resting: how many of those found nothing to do.
        busy: slots in which a job runs.
        pids: of all its processes, also of those that leave.
        why: it has the size that it has.
        failing: the latest process that was started did not come up.
    """

    lane: Lane
    queues: tuple[str, ...]
    processes: int
    slots: int
    running: int
    booted: int
    resting: int
    busy: int
    pids: tuple[int, ...]
    why: str
    failing: bool = False


class Crew:
    """One lane's processes.

    Parameters:
        index: which lane of the worker's it is, from 0.
    """

    def __init__(self, index: int, lane: Lane) -> None:
        self.index = index
        self.lane = lane
        self.wanted = lane.processes
        #: How many slots of each process may be used.
        self.slots = lane.slots
        #: Why that many, where somebody has changed it.
        self.why = ""
        self.queues = lane.queues or ()
        self.members: dict[int, Child] = {}
        #: Seconds that the start after the latest process that did not come up was put off by.
        self.pause = 0.0
        self._failed_at = 0.0
        self._not_before = 0.0
        self._doubtful = False
        self._told = ""

    @property
    def staying(self) -> list[Child]:
        """The processes that were not told to leave, and did not say that they would."""
        return [child for child in self.members.values() if not child.leaving]

    def lacking(self, now: float) -> int:
        """How many to start at `now` (monotonic seconds); after one that did not come up, one at a time."""
        if now < self._not_before:
            return 0
        missing = max(0, self.wanted - len(self.staying))
        if self._doubtful:
            return 0 if any(not child.booted for child in self.staying) else min(1, missing)
        return missing

    def due(self, now: float) -> float | None:
        """When to look again (monotonic seconds, as `now`), if a start is put off."""
        return self._not_before if self.wanted > len(self.staying) and self._not_before > now else None

    def surplus(self) -> list[Child]:
        """Whom to tell to leave: those that have not come up or rest, then the youngest."""
        staying = sorted(self.staying, key=lambda child: (child.booted and not child.resting, -child.number))
        return staying[: max(0, len(staying) - self.wanted)]

    def came_up(self, queues: tuple[str, ...]) -> None:
        """A process has booted, and takes from these queues: the others may start at once."""
        self.queues = queues
        self._doubtful = False
        self._not_before = 0.0

    def lost(self, child: Child, ran_jobs: bool, now: float) -> float:
        """A process is gone that should be there; returns the seconds until the next one starts.

        Parameters:
            ran_jobs: it ran a job when it died. That is the job's doing: another starts at once.
            now: in monotonic seconds.
        """
        if ran_jobs or (child.booted_at is not None and now - child.booted_at >= STEADY_SECONDS):
            return 0.0
        return self.failed(now)

    def failed(self, now: float) -> float:
        """A process did not come up; returns the seconds until another is started."""
        if now < self._not_before:
            return self._not_before - now  # several that die together are one failure
        lately = now - self._failed_at < self.pause + LONGEST_PAUSE
        self.pause = min(LONGEST_PAUSE, self.pause * 2) if lately and self.pause else FIRST_PAUSE
        self._failed_at, self._not_before, self._doubtful = now, now + self.pause, True
        return self.pause

    def news(self, words: str) -> str:
        """What a process wrote before it died, if it is not what the one before it wrote; else nothing."""
        if words == self._told:
            return ""
        self._told = words
        return words

    def state(self) -> LaneState:
        """How the lane stands."""
        staying = self.staying
        return LaneState(
            self.lane,
            self.queues,
            self.wanted,
            self.slots,
            len(staying),
            sum(child.booted for child in staying),
            sum(child.resting for child in staying),
            sum(child.board.busy() for child in self.members.values()),
            tuple(child.pid for child in self.members.values()),
            self.why,
            self._doubtful,
        )
