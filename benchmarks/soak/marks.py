"""What the jobs leave behind for whoever looks on from outside: a byte for each job, and the times of each probe, in shared files."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Self

import msgspec

#: A job with this remainder of `EACH` fails at its first start, and one with the next remainder is sent with a delay.
EACH, FAILS_ONCE, DELAYED = 1000, 7, 9
#: One job in so many is a dead letter, and one in so many returns a value.
DOOMED, ANSWERS = 100_000, 100
#: Of a probe: when it was sent, when it first started, by the monotonic clock, and how often it was started.
_PROBE = struct.Struct("=ddq")
_COUNT = struct.Struct("=q")


def _mapped(path: Path) -> mmap.mmap:
    with path.open("r+b") as file:
        return mmap.mmap(file.fileno(), 0)


class Account(msgspec.Struct, frozen=True):
    """How many jobs were never started as often as they had to be, and how many too often."""

    lost: int
    doubled: int

    def __add__(self, other: Account) -> Account:
        return Account(self.lost + other.lost, self.doubled + other.doubled)


def account(marks: bytes) -> Account:
    """Count from the bytes of all jobs; who fails once has to start twice."""
    twice, others = marks[FAILS_ONCE::EACH], bytearray(marks)
    del others[FAILS_ONCE::EACH]
    lost = others.count(0) + twice.count(0) + twice.count(1)
    return Account(lost, len(marks) - lost - others.count(1) - twice.count(2))


class Marks:
    """How often each job was started: a byte for each, which stays at 255."""

    def __init__(self, path: Path) -> None:
        self._memory = _mapped(path)
        self._first = 0

    @classmethod
    def made(cls, path: Path, count: int) -> Self:
        """A new file, without a mark."""
        path.write_bytes(bytes(count))
        return cls(path)

    def add(self, number: int) -> int:
        """Note one more start of a job; returns how often it was started by now."""
        starts = min(255, self._memory[number] + 1)
        self._memory[number] = starts
        return starts

    def started(self, below: int) -> int:
        """How many of the jobs below a number were started."""
        found = self._memory.find(b"\0", self._first, below)
        # Jobs start about in order: only those after the first that did not are counted again.
        self._first = below if found < 0 else found
        return below - self._memory[self._first : below].count(0)

    def account(self) -> Account:
        """See the function."""
        return account(self._memory[:])


class Probes:
    """When each probe was sent and started."""

    def __init__(self, path: Path) -> None:
        self._memory = _mapped(path)
        self.count = len(self._memory) // _PROBE.size

    @classmethod
    def made(cls, path: Path, count: int) -> Self:
        """A new file, with no probe sent."""
        path.write_bytes(bytes(_PROBE.size * count))
        return cls(path)

    def __getitem__(self, number: int) -> tuple[float, float, int]:
        sent, started, starts = _PROBE.unpack_from(self._memory, number * _PROBE.size)
        return sent, started, starts

    def send(self, number: int, now: float) -> None:
        """Note that one is sent now."""
        _PROBE.pack_into(self._memory, number * _PROBE.size, now, 0.0, 0)

    def start(self, number: int, now: float) -> None:
        """Note that one starts now."""
        sent, started, starts = self[number]
        _PROBE.pack_into(self._memory, number * _PROBE.size, sent, started or now, starts + 1)

    def account(self, sent: int) -> Account:
        """Of those that were sent."""
        starts = [self[number][2] for number in range(sent)]
        return Account(starts.count(0), sum(each > 1 for each in starts))


class Count:
    """A number that one process writes and others read."""

    def __init__(self, path: Path) -> None:
        self._memory = _mapped(path)

    @classmethod
    def made(cls, path: Path) -> Self:
        """A new file, with 0."""
        path.write_bytes(bytes(_COUNT.size))
        return cls(path)

    @property
    def value(self) -> int:
        """As it is now."""
        return int(_COUNT.unpack_from(self._memory)[0])

    @value.setter
    def value(self, value: int) -> None:
        # Not by `pack_into`, which writes zeros first: a reader saw them once in an hour.
        self._memory[: _COUNT.size] = _COUNT.pack(value)
