"""How many jobs a process takes at once: as many as it will run in a few milliseconds, or while the store answers once."""

from collections import deque

#: Seconds of work to take at once. A larger share would be repeated after a kill, a smaller one pays for more commits.
TARGET_SECONDS = 0.01
#: The same, at most, where the store takes long for an exchange: on a busy or distant server most of the time would go by in
#: waiting for it, and what is repeated after a kill is no more than what it takes to hand anything in.
LONGEST_SECONDS = 0.5
LARGEST = 500
#: Exchanges in a row that have taken long before it counts.
_IN_A_ROW = 3


class Prefetch:
    """Learns from each batch that ran how long a job takes; starts with one job, and grows at most fourfold a time."""

    def __init__(self, largest: int = LARGEST) -> None:
        self._largest = largest
        self._exchanges = deque([0.0] * _IN_A_ROW, _IN_A_ROW)
        self.limit = 1
        #: Seconds of work to take at once.
        self.target = TARGET_SECONDS

    def exchanged(self, seconds: float, least: float = 0.0) -> None:
        """An exchange with the store took so long.

        Parameters:
            least: seconds of work to take at once from now on, whatever exchanges take; `TARGET_SECONDS` where that is more.
        """
        self._exchanges.append(seconds)
        self.target = max(TARGET_SECONDS, least, min(LONGEST_SECONDS, *self._exchanges))

    def ran(self, jobs: int, seconds: float) -> None:
        """A batch of `jobs` took `seconds` to run, from the first start to the last end."""
        if jobs <= 0:
            return
        fitting = self._largest if seconds <= 0 else int(min(self._largest, self.target * jobs / seconds))
        self.limit = max(1, min(fitting, self.limit * 4, self._largest))


def hostages(waited: int, submitted: int, waiting: int) -> int | None:
    """How many of the leases that wait in a process may stay there, between two looks that are `Prefetch.target` apart.

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
