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
