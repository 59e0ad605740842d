"""The job that every peer runs: it marks a slot of a file in shared memory, for whoever looks on from outside.

Only the standard library: the peers import this with their own interpreters.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path

SLOTS = "PENSTOCK_PEERS_SLOTS"
#: When the job first started, by the monotonic clock, which all processes share; and how often it was started.
_SLOT = struct.Struct("=dq")
_memory: list[mmap.mmap] = []


def mark(number: int) -> None:
    """Note in its slot that a job starts."""
    now = time.monotonic()
    if not _memory:
        with open(os.environ[SLOTS], "r+b") as file:
            _memory.append(mmap.mmap(file.fileno(), 0))
    first, starts = _SLOT.unpack_from(_memory[0], number * _SLOT.size)
    _SLOT.pack_into(_memory[0], number * _SLOT.size, first or now, starts + 1)


class Slots:
    """The other side: reads what was marked. The file begins with no mark.

    Parameters:
        path: of the file, which is made anew.
        count: of jobs.
    """

    def __init__(self, path: Path, count: int) -> None:
        path.write_bytes(bytes(_SLOT.size * count))
        self.count = count
        self._marked = 0
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 0)

    def __getitem__(self, number: int) -> tuple[float, int]:
        """When a job first started, and how often it was started."""
        first, starts = _SLOT.unpack_from(self._memory, number * _SLOT.size)
        return first, starts

    def wait_any(self, until: int, limit: float) -> bool:
        """Wait until any job below a number has started; says whether one has within so many seconds."""
        ends, some = time.monotonic() + limit, 1000 * _SLOT.size
        whole = until * _SLOT.size
        while time.monotonic() < ends:
            # A look at all of many would take longer than the jobs do, and a store gives the oldest first, or else the newest.
            if (self._memory[: min(some, whole)] + self._memory[max(0, whole - some) : whole]).strip(b"\0"):
                return True
            time.sleep(0.001)
        return False

    def wait(self, until: int, patience: float, *, limit: float, every: float = 0.01) -> bool:
        """Wait until all jobs below a number have started, or none has for so many seconds: the others are lost.

        Returns False where jobs were still starting after `limit` seconds.
        """
        lost, since = -1, time.monotonic()
        ends = since + limit
        while True:
            before = self._marked
            while self._marked < until and self[self._marked][1]:
                self._marked += 1
            now = time.monotonic()
            if self._marked >= until:
                return True
            if now > ends:
                return False
            if self._marked > before:
                since = now
            elif now - since > patience:
                # The first that has not started may be lost, and others after it still come.
                last, lost = lost, self.lost(until)
                if lost == last:
                    return True
                since = now
            time.sleep(every)

    def starts(self, numbers: range) -> Iterator[float]:
        """When each of these jobs first started; jobs that never did are left out."""
        return (first for first, starts in map(self.__getitem__, numbers) if starts)

    def lost(self, until: int) -> int:
        """How many jobs below a number were never started."""
        return sum(not self[number][1] for number in range(until))

    def doubled(self) -> int:
        """How many were started more than once."""
        return sum(self[number][1] > 1 for number in range(self.count))
