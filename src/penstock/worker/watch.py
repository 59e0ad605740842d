"""Who is over a limit: looks at the boards of the processes that run jobs with limits, and at no others."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator

from penstock.core.verdict import Excess
from penstock.worker import memory, tree
from penstock.worker.board import Entry
from penstock.worker.child import Child

#: Seconds between two looks at a process that runs a job with a limit of time; the next one may have a shorter limit.
_TIMES = 0.1
#: Seconds between two looks at the memory of one that runs a job with a limit of memory.
_MEMORY = 0.05
#: Seconds that a process of many slots has to deal with a job over its time by itself, without harm to the others.
_LATE = 0.2
#: Seconds without a job with limits after which a process is not looked at until it speaks up.
_QUIET = 1.0
#: Seconds between two looks at the memory of processes that leave when they have too much.
_RECYCLING = 1.0


class Watch:
    """Looks at processes as often as they need it, and says whom to kill for what."""

    def __init__(self) -> None:
        self._cancels: dict[tuple[int, bytes], float] = {}
        self._next_recycling = 0.0

    def cancel(self, child: Child, id: bytes, kill_after: float) -> bool:
        """A job is to be cancelled, and to have ended within `kill_after` seconds; False when that was known.

        It is forgotten as soon as the job does not run, so that the job may run again; who asks, asks again.
        """
        if (child.number, id) in self._cancels:
            return False
        self._cancels[child.number, id] = time.monotonic() + kill_after
        child.watch()
        return True

    def forget(self, child: Child) -> None:
        """A process is gone."""
        self._cancels = {key: at for key, at in self._cancels.items() if key[0] != child.number}

    def due(self, children: Iterable[Child]) -> float:
        """When to look again, in monotonic seconds; inf is never."""
        now = time.monotonic()
        times = [math.inf]
        for child in children:
            if child.watched_since is not None:
                kill_at, least = child.board.limits()
                times.append(min(now + (_MEMORY if least < math.inf else _TIMES), kill_at + _grace_of(child)))
            if child.max_memory is not None and child.going and not child.leaving:
                times.append(self._next_recycling)
        return min(times)

    def overdue(self, children: Iterable[Child]) -> Iterator[tuple[Child, dict[bytes, Excess]]]:
        """The processes to kill, and the jobs that they are killed for; each stands still by now.

        Stopped first and looked at once more, so that no process dies for a job that ended in between.
        """
        for child in children:
            if child.watched_since is None or child.excess:
                continue
            if not self._excess(child):
                self._rest(child)
                continue
            tree.freeze(child.pid)
            excess = self._excess(child)
            if excess:
                yield child, excess
            else:
                tree.thaw(child.pid)

    def fat(self, children: Iterable[Child]) -> Iterator[Child]:
        """The processes that are to leave since they have more memory than they may keep."""
        now = time.monotonic()
        if now < self._next_recycling:
            return
        self._next_recycling = now + _RECYCLING
        for child in children:
            if child.max_memory is None or not child.going or child.leaving or child.draining:
                continue
            if _memory_of(child, child.max_memory) > child.max_memory:
                yield child

    def _excess(self, child: Child) -> dict[bytes, Excess]:
        """The jobs of a process that are over a limit."""
        now, grace = time.monotonic(), _grace_of(child)
        found: dict[bytes, Excess] = {}
        used: int | None = None
        for entry in child.board.entries():
            cancelled_at = self._cancels.get((child.number, entry.id))
            if entry.kill_at and now >= entry.kill_at + grace:
                found[entry.id] = Excess.TIME if cancelled_at is None else Excess.CANCELLED
            elif cancelled_at is not None and now >= cancelled_at + grace:
                found[entry.id] = Excess.CANCELLED
            elif entry.memory:
                used = _memory_of(child, entry.memory) if used is None else used
                if used > entry.memory:
                    found[entry.id] = Excess.LEFTOVERS if _is_left(child, entry) else Excess.MEMORY
        return found

    def _rest(self, child: Child) -> None:
        """Look no more at a process that runs nothing with a limit, until it says that it does."""
        now = time.monotonic()
        if self._cancels:
            running = {entry.id for entry in child.board.entries()}
            self._cancels = {
                (number, id): at
                for (number, id), at in self._cancels.items()
                if number != child.number or id in running
            }
        cancels = any(number == child.number for number, _ in self._cancels)
        if cancels or child.board.limits() != (math.inf, math.inf):
            child.watch()
        elif child.watched_since is not None and now - child.watched_since > _QUIET:
            child.board.watched = False
            # One may have been noted since it was looked at; the writer looks at `watched` after it wrote.
            if child.board.limits() == (math.inf, math.inf):
                child.watched_since = None
            else:
                child.watch()


def _grace_of(child: Child) -> float:
    return 0.0 if child.board.slots == 1 else _LATE


def _is_left(child: Child, entry: Entry) -> bool:
    """Had the jobs before it left it less than half of the room that it would have in a fresh process?"""
    room = entry.memory - child.fresh_bytes
    return entry.before - child.fresh_bytes > max(room, 0) / 2 and entry.before > child.fresh_bytes * 1.1


def _memory_of(child: Child, limit: int) -> int:
    """The memory of a process and its descendants, in bytes; to the point only where it is more than a limit."""
    pids = [child.pid, *tree.descendants(child.pid)]
    used = memory.resident(pids)
    if used > limit and len(pids) > 1:
        # A forked child shares most of what it has with its parent.
        used = memory.proportional(pids)
    child.peak_bytes = max(child.peak_bytes, used)
    return used
