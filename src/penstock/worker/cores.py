"""How much this machine can do at once."""

from __future__ import annotations

import os

#: Of a pool with one slot in each process, where nothing else is said.
_PROCESSES_PER_CORE = 2


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def standard_processes() -> int:
    """How many processes of one slot there are where nobody says how many."""
    return _PROCESSES_PER_CORE * cores()
