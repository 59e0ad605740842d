"""A small machine out of a large one: one core and so much memory for this program and all it starts. Linux only."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

_MOUNT = Path("/sys/fs/cgroup")
_IN_SCOPE = "EQUITIES_IN_SCOPE"
#: What a limit on memory and a member are written to, by version of the cgroup interface.
_LIMIT = {1: "memory.limit_in_bytes", 2: "memory.max"}
#: Swap would be a way around the limit; not every kernel counts it.
_SWAP_LIMIT = {1: "memory.memsw.limit_in_bytes", 2: "memory.swap.max"}


@contextmanager
def one_core() -> Iterator[int]:
    """Keep this process, and what it starts from now on, to one core; gives its number."""
    before = os.sched_getaffinity(0)
    # Not the first: it has most of the interrupts.
    core = max(before)
    os.sched_setaffinity(0, {core})
    try:
        yield core
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def memory(limit: int) -> Iterator[str]:
    """Hold this process and what it starts to a sum of memory, where that can be done; gives how it is done.

    Root makes a memory cgroup below its own. Anybody else is started again in a scope of systemd's, where there is one.

    Parameters:
        limit: bytes.
    """
    if os.environ.get(_IN_SCOPE):
        yield "a scope of systemd"
        return
    made = _cgroup(limit)
    if made is None:
        _start_again_in_scope(limit)
        yield "NOT ENFORCED: that takes root, or a systemd that lets users set limits"
        return
    group, home = made
    (group / "cgroup.procs").write_text(str(os.getpid()))
    try:
        yield f"cgroup {group}"
    finally:
        (home / "cgroup.procs").write_text(str(os.getpid()))
        with suppress(OSError):  # something that was started is still running
            group.rmdir()


def _cgroup(limit: int) -> tuple[Path, Path] | None:
    """A new group that has the limit, and the one that this process is in; None where we may not make one."""
    homes = _homes()
    if homes is None:
        return None
    version, home, parents = homes
    for parent in parents:
        group = parent / f"equities-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / _LIMIT[version]).write_text(str(limit))
        except OSError:
            group.rmdir()
            continue
        with suppress(OSError):
            (group / _SWAP_LIMIT[version]).write_text(str(limit if version == 1 else 0))
        return group, home
    return None


def _homes() -> tuple[int, Path, list[Path]] | None:
    """The cgroup version that limits memory, our own group in it, and groups that a new one may be made in."""
    with suppress(OSError):
        lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text("utf-8").splitlines()]
        paths = {names: path.lstrip("/") for _, names, path in lines}
        if "memory" in paths:
            home = _MOUNT / "memory" / paths["memory"]
            return 1, home, [home]
        if "" not in paths:
            return None
        # In version 2 a group with processes of its own has no limited children: ours become its siblings.
        home = _MOUNT / paths[""]
        ways_up = [home, *home.parents]
        parents = [each for each in ways_up[: ways_up.index(_MOUNT) + 1] if _hands_down_memory(each)]
        return 2, home, parents[:1]
    return None


def _hands_down_memory(group: Path) -> bool:
    with suppress(OSError):
        return "memory" in (group / "cgroup.subtree_control").read_text("utf-8").split()
    return False


def _start_again_in_scope(limit: int) -> None:
    """Become this program in a scope that has the limit; returns only where there can be none."""
    if shutil.which("systemd-run") is None:
        return
    own = [] if os.geteuid() == 0 else ["--user"]
    limits = ["-p", f"MemoryMax={limit}", "-p", "MemorySwapMax=0"]
    scope = ["systemd-run", *own, "--scope", "--quiet", "--collect", *limits]
    if subprocess.run([*scope, "true"], capture_output=True, check=False).returncode:
        return
    sys.stdout.flush()
    os.execvpe(scope[0], [*scope, sys.executable, *sys.orig_argv[1:]], {**os.environ, _IN_SCOPE: "1"})


class Peak:
    """Watches the memory of a process and its descendants: the sum of the most that each has had, in bytes.

    What processes share is counted in each of them, so the sum is never too small.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._highest: dict[int, int] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @property
    def bytes(self) -> int:
        """The sum so far."""
        return sum(self._highest.values())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        self._look()
        while not self._ended.wait(0.5):
            self._look()

    def _look(self) -> None:
        for process in _family(self._root):
            self._highest[process] = max(self._highest.get(process, 0), peak_of(process))


def peak_of(process: int) -> int:
    """The most memory that a process has had in bytes; 0 for one that is gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text("utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def _family(root: int) -> set[int]:
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            # The name, in brackets, may hold anything.
            parents[int(folder.name)] = int((folder / "stat").read_text("utf-8").rpartition(")")[2].split()[1])
    found = {root}
    grown = True
    while grown:
        more = {process for process, parent in parents.items() if parent in found} - found
        grown = bool(more)
        found |= more
    return found
