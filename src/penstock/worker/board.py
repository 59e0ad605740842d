"""Shared memory in which a process notes what runs in its slots, for its supervisor to read when it is dead."""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
import time

from penstock.brokers.inspect import RunningJob
from penstock.core.job import Lease

_ENTRY = struct.Struct("16sddd")
_PROGRESS = struct.Struct("dd")
_PROGRESS_OFFSET = 24
_FREE = bytes(_ENTRY.size)


class Board:
    """One entry a slot: the id of the job that runs there, since when (monotonic seconds), and how far it is.

    Parameters:
        descriptor: of the memory; inherited by the process that writes.
        slots: how many entries.
    """

    def __init__(self, descriptor: int, slots: int) -> None:
        self.descriptor = descriptor
        self._slots = slots
        self._memory = mmap.mmap(descriptor, slots * _ENTRY.size)

    @classmethod
    def create(cls, slots: int) -> Board:
        """New shared memory."""
        if hasattr(os, "memfd_create"):
            descriptor = os.memfd_create("penstock-board")
        else:
            descriptor, path = tempfile.mkstemp(prefix="penstock-board-")
            os.unlink(path)
        os.ftruncate(descriptor, slots * _ENTRY.size)
        return cls(descriptor, slots)

    def note(self, slot: int, lease: Lease | None) -> None:
        """A slot starts a job, or is free again."""
        if lease is None:
            offset = slot * _ENTRY.size
            self._memory[offset : offset + _ENTRY.size] = _FREE
        else:
            _ENTRY.pack_into(self._memory, slot * _ENTRY.size, lease.id, time.monotonic(), 0.0, 0.0)

    def progress(self, id: bytes, done: float, total: float) -> None:
        """A job that runs says how far it is."""
        for offset in range(0, self._slots * _ENTRY.size, _ENTRY.size):
            if self._memory[offset : offset + len(id)] == id:
                _PROGRESS.pack_into(self._memory, offset + _PROGRESS_OFFSET, done, total)

    def running(self) -> list[RunningJob]:
        """The jobs that run."""
        now = time.monotonic()
        entries = (_ENTRY.unpack_from(self._memory, slot * _ENTRY.size) for slot in range(self._slots))
        return [RunningJob(id, now - since, done, total) for id, since, done, total in entries if since]

    def close(self) -> None:
        """Let go of the memory."""
        self._memory.close()
        os.close(self.descriptor)
