"""The side of a store that keeps schedules: rows whose content it does not look at, changed by compare-and-set.

Whoever changes a row says which version of it was read. Of several that do so at the same time one succeeds, and the jobs that come with a change
are stored if and only if that one succeeded. What is in a row is `penstock.brokers.timetable`'s business.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Protocol

import msgspec

from penstock.core.job import NewJob

#: The version of a row that is not there.
ABSENT = 0


class Row(msgspec.Struct, frozen=True, gc=False):
    """A schedule as it is stored: its name, the version, when it is to be looked at (epoch seconds; None is never), and its content."""

    name: str
    version: int
    next_at: float | None
    body: bytes


class Change(msgspec.Struct, frozen=True, gc=False):
    """What a row is to become, if its version is `version` still.

    Parameters:
        version: the one that was read; `ABSENT` where there was no row.
        row: the new row, whose version was never one of its name before; None deletes it.
        jobs: to be stored with it, ready at once; they come with changes of rows that are there.
    """

    name: str
    version: int
    row: Row | None
    jobs: tuple[NewJob, ...] = ()


class Due(msgspec.Struct, frozen=True):
    """The store's time (epoch seconds), rows that are due by it, and in how many seconds the next one is after these; None where there is none."""

    now: float
    rows: list[Row]
    next_in: float | None


class Begun(Protocol):
    """Changes that are written but for the last step; until then nobody sees them, and who changes the same rows waits or fails."""

    def finish(self) -> set[str]:
        """Have them hold, unless somebody has ended them; returns the names of those that do. Called once, and then nothing else."""

    def drop(self) -> None:
        """Let none of them hold."""


class ScheduleStore(Protocol):
    """Keeps schedules; every method may be called while others do the same."""

    def read(self, names: Sequence[str] | None = None) -> list[Row]:
        """The rows of these names, or all, in the order of their names."""

    def due(self, limit: int, *, now: float | None = None) -> Due:
        """The rows that are due, those first that have been so for longest."""

    def change(self, changes: Sequence[Change], *, now: float | None = None) -> list[bool]:
        """Make changes of different names, and wake the workers; returns which of them succeeded.

        Each is made whole or not at all, its jobs included; a job whose id is stored, or whose unique key is taken, is left out.
        """

    def begin(self, changes: Sequence[Change], *, now: float) -> Begun | None:
        """Begin changes with jobs that are due at `now`, less than a second from now, or some of them; None where that would save nothing, or is not possible."""
        return None


def new_version() -> int:
    """A number that no row ever had: one that was removed and made again must not be taken for the old one."""
    # Not by `secrets`, which loads OpenSSL.
    return int.from_bytes(os.urandom(8), "big") >> 2 | 1
