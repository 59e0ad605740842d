"""What runs write down as they begin and end, where no store and no kill can change it."""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path

import msgspec

_NOTE = struct.Struct("<IIQ")
#: The bit of a job's number that says that its run has ended.
_ENDED = 1 << 31


class Note(msgspec.Struct, frozen=True):
    """A run of a job began, or ended; `at` is in seconds of this machine's monotonic clock."""

    number: int
    pid: int
    at: float
    ended: bool = False


class Notebook:
    """A file that several processes write to at once.

    A note is one write to a file opened for appending: it is there whole or not at all, whoever is killed when.

    Parameters:
        path: of the file; it is made where there is none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._read = 0

    def write(self, number: int, *, ended: bool = False) -> None:
        """Note that a run of a job begins here and now, or ends."""
        os.write(self._file, _NOTE.pack(number | _ENDED if ended else number, os.getpid(), time.monotonic_ns()))

    def read(self) -> list[Note]:
        """The notes that were written since the last call, in their order."""
        with open(self._path, "rb") as file:
            file.seek(self._read)
            data = file.read()
        data = data[: len(data) // _NOTE.size * _NOTE.size]
        self._read += len(data)
        return [
            Note(number & ~_ENDED, pid, at / 1e9, bool(number & _ENDED)) for number, pid, at in _NOTE.iter_unpack(data)
        ]

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
