"""Processes seen from outside: who belongs to a worker, what they use, and how they are ended."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from penstock.worker.memory import proportional

_TICK = os.sysconf("SC_CLK_TCK")
_GONE = (FileNotFoundError, ProcessLookupError)


def members(leader: int) -> list[int]:
    """All processes of a session, whoever their parent is by now."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(*_GONE):
                if os.getsid(int(entry.name)) == leader:
                    found.append(int(entry.name))
    return found


def family(pid: int) -> list[int]:
    """A process and all that it has started, and they in turn."""
    return [pid, *(each for child in _children(pid) for each in family(child))]


def used(pids: Sequence[int]) -> float:
    """Seconds on a core so far, with those of their children that have ended: peers that fork for each job use theirs there."""
    return sum(map(_used, pids))


def memory(pids: Sequence[int]) -> float:
    """Megabytes (PSS): shared pages are divided among those that share them."""
    return proportional(pids) / (1 << 20)


def end(leader: int) -> None:
    """Kill what is left of a session."""
    for pid in members(leader):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _children(pid: int) -> Iterator[int]:
    with suppress(*_GONE):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(*_GONE):
                yield from map(int, (thread / "children").read_text().split())


def _used(pid: int) -> float:
    try:
        # The name, in brackets, may have blanks; the times are the 14th to the 17th field, the last two those of ended children.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except _GONE:
        return 0.0
    own, children = (sum(map(int, fields[first : first + 2])) / _TICK for first in (11, 13))
    # Threads are counted in nanoseconds, but the ended ones are missing; the process is counted in hundredths of a second, with all.
    return max(own, sum(_threads(pid))) + children


def _threads(pid: int) -> Iterator[float]:
    with suppress(*_GONE):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(*_GONE):
                yield int((thread / "schedstat").read_text().split()[0]) / 1e9
