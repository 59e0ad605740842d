"""A process with all its descendants, as /proc tells, and how to end them. Linux only; elsewhere its group stands for them."""

from __future__ import annotations

import os
import signal
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

#: The environment variable by which a process's descendants are found that have lost their parents.
MARK = "_PENSTOCK_PROCESS"
#: Threads of a process up to which asking each of them for its children costs less than reading all of /proc.
_FEW_THREADS = 40
#: Looks at a tree whose processes start others meanwhile.
_LOOKS = 20
_PROC = Path("/proc")


def descendants(root: int) -> list[int]:
    """The processes that a process has started, and those that they have, as long as their parents live."""
    found: list[int] = []
    fresh = [root]
    while fresh:
        children = [child for pid in fresh for child in _children(pid)]
        # A number that comes up twice was given to another process meanwhile.
        fresh = [child for child in children if child not in found and child != root]
        found += fresh
    return found


def memory_name(value: str) -> str:
    """The name of the memory that a process of a mark has in common with its supervisor."""
    return f"penstock-board.{value}"


def marked(value: str) -> list[int]:
    """The processes in whose environment `MARK` has a value, and their forks; those of other users can't be asked.

    The system shows the environment that a program was started with, so a fork that starts none has that of another; but it
    has the memory of the one that it is a copy of.
    """
    variable = f"{MARK}={value}".encode()
    memory = f"/memfd:{memory_name(value)} ".encode()
    found = []
    for pid in _all_processes():
        with suppress(OSError):
            place = _PROC / str(pid)
            environment = (place / "environ").read_bytes().split(b"\0")
            if variable in environment or (pid != os.getpid() and memory in (place / "maps").read_bytes()):
                found.append(pid)
    return found


def freeze(pid: int) -> bool:
    """Stop a process where it is, which it can't prevent; returns whether it stands still already."""
    _signal(pid, signal.SIGSTOP)
    for _ in range(1000):
        state = _stat(pid)
        if state is None or state[0] in "TtZX":
            return True
        os.sched_yield()
    return False


def thaw(pid: int) -> None:
    """Let a process that was stopped go on."""
    _signal(pid, signal.SIGCONT)


def end_tree(root: int, mark: str = "") -> None:
    """Kill a process and all its descendants, also those with a session of their own.

    They are stopped first, so that none starts another unseen.

    Parameters:
        mark: the value of `MARK` in its environment; finds those as well whose parents are gone. Without, they are
            not looked for, which saves reading the environment of every process there is.
    """
    known: list[int] = []
    for _ in range(_LOOKS):
        fresh = [pid for pid in (root, *descendants(root)) if pid not in known]
        if mark:
            fresh += [pid for pid in marked(mark) if pid not in known and pid not in fresh]
        if not fresh:
            break
        for pid in fresh:
            _signal(pid, signal.SIGSTOP)
        for pid in fresh:
            # What it is starting at this moment can be seen when it stands, and not before.
            freeze(pid)
        known += fresh
    for pid in known:
        _signal(pid, signal.SIGKILL)
    with suppress(OSError):
        os.killpg(root, signal.SIGKILL)


def collect_strangers(known: Iterable[int]) -> None:
    """Collect those of this process's children that have ended and that nobody else waits for.

    The first process of a container is given all orphans there, those of tasks say, and they stay until it collects them.

    Parameters:
        known: processes that others wait for.
    """
    for pid in set(_children(os.getpid())) - set(known):
        stat = _stat(pid)
        if stat is not None and stat[0] == "Z":
            with suppress(OSError):
                os.waitpid(pid, os.WNOHANG)


def _children(pid: int) -> list[int]:
    """The processes that a process has started and that are still its children."""
    tasks = f"/proc/{pid}/task"
    found: list[int] = []
    try:
        threads = os.listdir(tasks)
        if len(threads) > _FEW_THREADS:
            return _children_by_parent().get(pid, [])
        for thread in threads:
            with open(f"{tasks}/{thread}/children", "rb") as children:
                found += map(int, children.read().split())
    except FileNotFoundError:
        # A thread or the process has ended; or the kernel was built without these files.
        if os.path.isdir(tasks):
            return _children_by_parent().get(pid, [])
    except OSError:
        pass
    return found


def _children_by_parent() -> dict[int, list[int]]:
    found = defaultdict(list)
    for pid in _all_processes():
        stat = _stat(pid)
        if stat is not None:
            found[int(stat[1])].append(pid)
    return found


def _all_processes() -> list[int]:
    try:
        return [int(name) for name in os.listdir(_PROC) if name.isdigit()]
    except OSError:
        return []


def _stat(pid: int) -> list[str] | None:
    """A process's state and its parent's number, and more; None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            # Its name stands in parentheses, and may hold any character.
            return stat.read().rpartition(")")[2].split()
    except OSError:
        return None


def _signal(pid: int, number: int) -> None:
    with suppress(OSError):
        os.kill(pid, number)
