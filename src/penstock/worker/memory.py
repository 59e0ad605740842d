"""How much memory processes have, as /proc tells. Linux only; elsewhere it is 0."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress

_PAGE = os.sysconf("SC_PAGE_SIZE")


def resident(pids: Iterable[int]) -> int:
    """The memory that processes have in use, in bytes; what two of them share counts twice."""
    pages = 0
    for pid in pids:
        with suppress(OSError, IndexError, ValueError), open(f"/proc/{pid}/statm", "rb") as statm:
            pages += int(statm.read().split()[1])
    return pages * _PAGE


def peak(pid: int) -> int:
    """The most memory that a process has had in use so far, in bytes."""
    with suppress(OSError, ValueError), open(f"/proc/{pid}/status", "rb") as status:
        return next((int(line.split()[1]) for line in status if line.startswith(b"VmHWM:")), 0) * 1024
    return 0


def proportional(pids: Iterable[int]) -> int:
    """The memory that processes have in use, in bytes; what they share is shared out. Takes about 1 ms for 100 MB."""
    total = 0
    for pid in pids:
        with suppress(OSError, ValueError), open(f"/proc/{pid}/smaps_rollup", "rb") as rollup:
            total += next((int(line.split()[1]) for line in rollup if line.startswith(b"Pss:")), 0)
    return total * 1024
