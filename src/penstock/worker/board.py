"""Shared memory in which a process notes what runs in its slots, for its supervisor to read, also when it is dead."""

from __future__ import annotations

import math
import mmap
import os
import struct
import time
from collections.abc import Callable, Sequence

import msgspec

from penstock.brokers.inspect import RunningJob
from penstock.core.job import Lease
from penstock.events import counters
from penstock.events.counters import Counters
from penstock.events.meter import QUICK
from penstock.worker import lines
from penstock.worker.lines import LastLines
from penstock.worker.memory import resident

# The limits come first: a writer that is stopped half-way leaves no old limit on a new job.
_ENTRY = struct.Struct("ddddd16sd")
_PROGRESS = struct.Struct("dd")
_PROGRESS_OFFSET = 24
_ID_OFFSET = 40
_LIMITS = struct.Struct("dd")
_BEFORE = struct.Struct("d")
_BEFORE_OFFSET = 56
_FREE = bytes(_ENTRY.size)
_HEADER = struct.Struct("Qd48x")
# In this order: who reads as it is written never sees that the worker has beaten again, and not that it had been silent.
_BEATS = struct.Struct("ddd")
_BEATS_OFFSET = 16
_ENDED = struct.Struct("Q")
_WATCHED = struct.Struct("d")
_WATCHED_OFFSET = 8
#: Doubles in an entry and in the header.
_STRIDE = _ENTRY.size // 8
_FIRST = _HEADER.size // 8
#: Bytes of what was written behind the board that are read, at most: its end, where a traceback says what went wrong.
_LAST_WORDS = 16384


class Entry(msgspec.Struct, frozen=True):
    """What runs in a slot.

    Parameters:
        since: when it started, in monotonic seconds.
        kill_at: when it has to have ended, in monotonic seconds; 0 is never.
        memory: bytes that its process may have; 0 is no limit.
        before: bytes that its process had when it started; told where there is a limit.
    """

    slot: int
    id: bytes
    since: float
    kill_at: float = 0.0
    memory: int = 0
    before: int = 0


class Board:
    """One entry a slot, a count of the jobs that ended, the last lines that the process logged, and its figures.

    Parameters:
        descriptor: of the memory; inherited by the process that writes.
        slots: how many entries.
    """

    def __init__(self, descriptor: int, slots: int) -> None:
        self.descriptor = descriptor
        self.slots = slots
        self._size = _HEADER.size + slots * _ENTRY.size
        self._end = _end(slots)
        self._memory = mmap.mmap(descriptor, self._end)
        self._view = memoryview(self._memory)
        self._doubles = self._view[: self._size].cast("d")
        #: Called in the process when a job with a limit starts and its supervisor may not be looking.
        self.limited: Callable[[], object] = _nobody
        #: The last lines that the process logged.
        self.lines = LastLines(self._view[self._size : self._size + lines.ROOM])
        self._noted: list[Lease | None] = [None] * slots
        self._since = [0.0] * slots
        #: Called in the process with a job that has ended and the seconds that it ran, or where those are less than
        #: `QUICK` with them alone.
        self.ran: Callable[[Lease, float], object] = _nobody
        self.quick: Callable[[float], object] = _nobody
        #: Called in the process with a job that is not to start after all.
        self.declined: Callable[[Lease], object] = _nobody
        #: Since when the process holds the newest of its leases, at least, in monotonic seconds.
        self.held_since = math.inf
        #: What the process has counted.
        self.counters = Counters(self._view[self._end - counters.ROOM :])

    @classmethod
    def create(cls, slots: int, name: str = "penstock-board") -> Board:
        """New shared memory.

        Parameters:
            name: by which the system shows who has it.
        """
        if hasattr(os, "memfd_create"):
            descriptor = os.memfd_create(name)
        else:
            import tempfile

            descriptor, path = tempfile.mkstemp(prefix="penstock-board-")
            os.unlink(path)
        size = _end(slots)
        os.ftruncate(descriptor, size)
        # What is written to the file, and not to the memory, goes behind: see `last_words`.
        os.lseek(descriptor, size, os.SEEK_SET)
        board = cls(descriptor, slots)
        if hasattr(mmap, "MADV_DONTFORK"):
            # It is one process's, which maps it anew, and not those' that are forked later.
            board._memory.madvise(mmap.MADV_DONTFORK)
        return board

    def note(self, slot: int, lease: Lease | None) -> bool:
        """A slot starts a job, or is free again.

        Returns:
            Whether it is not to start it: while it ran the one before, or since its lease was taken, the worker has been silent
            for so long that others may have been given what it held. The slot is free then, and `declined` was told.
        """
        now = time.monotonic()
        before = self._noted[slot]
        if before is not None:
            # One look at the clock is the end of one job and the start of the next: a look takes 0.09 us.
            seconds = now - self._since[slot]
            if seconds < QUICK:
                self.quick(seconds)
            else:
                self.ran(before, seconds)
                if lease is not None and self.lapsed(self._since[slot], now):
                    self.note(slot, None)
                    self.declined(lease)
                    return True
        elif lease is not None and self.lapsed(self.held_since, now):
            self.declined(lease)
            return True
        self._noted[slot] = lease
        offset = _HEADER.size + slot * _ENTRY.size
        if lease is None:
            self._memory[offset : offset + _ENTRY.size] = _FREE
        else:
            self._since[slot] = now
            _ENTRY.pack_into(self._memory, offset, 0.0, 0.0, now, 0.0, 0.0, lease.id, 0.0)
        return False

    def beat(self, now: float, dead_after: float) -> None:
        """Told by the supervisor: at `now` (monotonic seconds) the worker said that it lives, of which it has to be silent
        for `dead_after` seconds until others take its jobs.
        """
        unbroken_since, _, beaten_at = _BEATS.unpack_from(self._memory, _BEATS_OFFSET)
        if beaten_at and now - beaten_at > dead_after:
            unbroken_since = now
        _BEATS.pack_into(self._memory, _BEATS_OFFSET, unbroken_since, dead_after, now)

    def lapsed(self, since: float, now: float) -> bool:
        """May others have been given what this process has held since then? Both in monotonic seconds.

        Who goes on after a rest, as a machine does that was asleep, may see that before its supervisor does: then it goes by how
        long the rest was.
        """
        unbroken_since, dead_after, beaten_at = _BEATS.unpack_from(self._memory, _BEATS_OFFSET)
        silent = 0.0 < beaten_at < now - dead_after
        return bool(unbroken_since > since or (silent and now - since > dead_after / 2))

    def seconds(self, slot: int) -> float:
        """For how long the job in a slot has run; in the process itself."""
        return time.monotonic() - self._since[slot]

    def limit(self, slot: int, kill_at: float = 0.0, memory: int = 0) -> None:
        """The job that was noted for a slot has limits; told before it starts.

        Parameters:
            kill_at: when the process is killed, in monotonic seconds; 0 is never.
            memory: bytes that the process may have; 0 is no limit.
        """
        offset = _HEADER.size + slot * _ENTRY.size
        if memory:
            _BEFORE.pack_into(self._memory, offset + _BEFORE_OFFSET, float(resident([os.getpid()])))
        _LIMITS.pack_into(self._memory, offset, kill_at, float(memory))
        if not self.watched:
            self.limited()

    @property
    def watched(self) -> bool:
        """Does the supervisor look at the limits? It stops where there are none, and is told of the next."""
        return bool(_WATCHED.unpack_from(self._memory, _WATCHED_OFFSET)[0])

    @watched.setter
    def watched(self, value: bool) -> None:
        _WATCHED.pack_into(self._memory, _WATCHED_OFFSET, float(value))

    def progress(self, id: bytes, done: float, total: float) -> None:
        """A job that runs says how far it is."""
        for offset in range(_HEADER.size, self._size, _ENTRY.size):
            if self._memory[offset + _ID_OFFSET : offset + _ID_OFFSET + len(id)] == id:
                _PROGRESS.pack_into(self._memory, offset + _PROGRESS_OFFSET, done, total)

    def count(self, ended: int) -> None:
        """So many more jobs of this process have ended, and the store knows."""
        _ENDED.pack_into(self._memory, 0, self.ended + ended)

    @property
    def ended(self) -> int:
        """How many jobs of this process have ended, and the store knows."""
        return int(_ENDED.unpack_from(self._memory, 0)[0])

    def running(self) -> list[RunningJob]:
        """The jobs that run."""
        now = time.monotonic()
        return [
            RunningJob(id, now - since, done, total)
            for _, _, since, done, total, id, _ in map(self._entry, range(self.slots))
            if since
        ]

    def entries(self) -> list[Entry]:
        """The slots in which something runs."""
        found = []
        for slot, busy in enumerate(self._column(2)):
            if busy:
                kill_at, memory, since, _, _, id, before = self._entry(slot)
                found.append(Entry(slot, id, since, kill_at, int(memory), int(before)))
        return found

    def busy(self) -> int:
        """In how many slots something runs."""
        return self.slots - self._column(2).count(0.0)

    def limits(self) -> tuple[float, float]:
        """The next moment at which a job has to have ended, and the least memory that one may have; inf is none."""
        return (
            min(filter(None, self._column(0)), default=math.inf),
            min(filter(None, self._column(1)), default=math.inf),
        )

    def last_words(self) -> str:
        """What was written to the descriptor itself: as the process booted, or by the interpreter as it crashed."""
        end = os.fstat(self.descriptor).st_size
        start = max(self._end, end - _LAST_WORDS)
        return os.pread(self.descriptor, end - start, start).decode("utf-8", "replace")

    def take_words(self) -> str:
        """The same, and no more of it is kept."""
        words = self.last_words()
        os.ftruncate(self.descriptor, self._end)
        os.lseek(self.descriptor, 0, os.SEEK_END)
        return words

    def close(self) -> None:
        """Let go of the memory."""
        self.lines.close()
        self.counters.close()
        self._doubles.release()
        self._view.release()
        self._memory.close()
        os.close(self.descriptor)

    def _entry(self, slot: int) -> tuple[float, float, float, float, float, bytes, float]:
        return _ENTRY.unpack_from(self._memory, _HEADER.size + slot * _ENTRY.size)

    def _column(self, number: int) -> Sequence[float]:
        # One slice for all slots: of 1,000, in some 20 us.
        return self._doubles[_FIRST + number :: _STRIDE].tolist()


def _end(slots: int) -> int:
    return _HEADER.size + slots * _ENTRY.size + lines.ROOM + counters.ROOM


def _nobody(*told: object) -> None:
    """A board that no supervisor looks at, or whose process counts nothing."""
