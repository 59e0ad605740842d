"""How many jobs a process takes at once: as many as it will run in a few milliseconds."""

from __future__ import annotations

#: Seconds of work to take at once. A larger share would be repeated after a kill, a smaller one pays for more commits.
TARGET_SECONDS = 0.01
LARGEST = 500


class Prefetch:
    """Learns from each batch that ran how long a job takes; starts with one job, and grows at most fourfold a time."""

    def __init__(self, largest: int = LARGEST) -> None:
        self._largest = largest
        self.limit = 1

    def ran(self, jobs: int, seconds: float) -> None:
        """A batch of `jobs` took `seconds` to run, from the first start to the last end."""
        if jobs <= 0:
            return
        fitting = self._largest if seconds <= 0 else int(min(self._largest, TARGET_SECONDS * jobs / seconds))
        self.limit = max(1, min(fitting, self.limit * 4, self._largest))


def hostages(waited: int, submitted: int, waiting: int) -> int | None:
    """How many of the leases that wait in a process may stay there, between two looks TARGET_SECONDS apart.

    What was taken is what should have been run in that time. If some of it still waits, jobs are longer than they were
    when it was taken: then as much may stay as twice the time will do for, and the rest goes to those who are idle.

    Parameters:
        waited: how many waited at the last look.
        submitted: how many have come since.
        waiting: how many wait now.

    Returns:
        None where all may stay.
    """
    if waiting <= submitted:
        return None
    started = max(0, waited + submitted - waiting)
    return None if waiting <= 2 * started else 2 * started
