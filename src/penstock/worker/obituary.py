"""What is known of a process that died, put together from what it left behind."""

from __future__ import annotations

import math
import time

from penstock.core.verdict import Death, Run
from penstock.worker.child import Child, Exit


def death_of(child: Child, ended: Exit) -> Death:
    """How a process died, what ran then, and what it had said since the oldest of that began."""
    now = time.monotonic()
    entries = child.board.entries()
    runs = tuple(Run(entry.id, now - entry.since, child.excess.get(entry.id)) for entry in entries)
    lines = child.board.lines.read(min((entry.since for entry in entries), default=math.inf))
    return Death(
        "was killed" if child.excess else str(ended),
        ended.peak,
        (*lines, *words_of(child).splitlines()) if runs else (),
        runs,
        child.interrupted,
    )


def words_of(child: Child) -> str:
    """What a process wrote as it booted, or as its interpreter crashed, without the list of modules at the end of that."""
    return child.board.last_words().partition("\nExtension modules: ")[0].strip("\n")
