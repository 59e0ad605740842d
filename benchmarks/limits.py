"""How soon a job that nothing reaches is killed, and how soon its process's queue goes on."""

from __future__ import annotations

import mmap
import os
import select
import time
from contextlib import closing
from pathlib import Path

from benchmarks.enqueue import empty
from benchmarks.figures import Figure, alone
from benchmarks.places import folder, url, worker
from benchmarks.tasks import STAMP, stamp, stuck
from penstock import Penstock

#: Seconds that the job has, in all.
_ALLOWED = 0.5
_LIMIT = 30.0


def run(quick: bool) -> list[Figure]:
    """A job that holds the GIL in C, in a worker of one process, and a no-op behind it."""
    late: list[float] = []
    back: list[float] = []
    with folder() as place:
        for _ in range(2 if quick else 7):
            killed, next_one = _killed(place)
            late.append(killed)
            back.append(next_one)
    return [
        alone("hard limit: killed after its time by", "s", late, "< 0.3 s", lambda seconds: seconds < 0.3),
        alone("hard limit: neighbour back at work after the kill", "s", back, "< 1 s", lambda seconds: seconds < 1),
    ]


def _killed(place: Path) -> tuple[float, float]:
    path, stamps = empty(place / "queue.db"), place / "stamps"
    stamps.write_bytes(bytes(2 * STAMP.size))
    app = Penstock(url(path))
    with closing(app), stamps.open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        hold = app.task(name=stuck.name, timeout=_ALLOWED - 0.2, kill_after=0.2, retries=0)(stuck.function)
        note = app.task(name=stamp.name)(stamp.function)
        with worker(url(path), "-c", "1", stamps=stamps) as process:
            hold.delay(0)
            began = _stamped(memory, 0)
            died = _death(_child(process.pid))
            note.delay(1)
            return died - began - _ALLOWED, _stamped(memory, 1) - died


def _child(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()[0])


def _death(pid: int) -> float:
    descriptor = os.pidfd_open(pid)
    try:
        if not select.select([descriptor], [], [], _LIMIT)[0]:
            raise SystemExit(f"not killed within {_LIMIT:g} s")
        return time.monotonic()
    finally:
        os.close(descriptor)


def _stamped(memory: mmap.mmap, number: int) -> float:
    deadline = time.monotonic() + _LIMIT
    while not (at := STAMP.unpack_from(memory, number * STAMP.size)[0]):
        if time.monotonic() > deadline:
            raise SystemExit(f"job {number} did not run within {_LIMIT:g} s")
        time.sleep(0.001)
    return float(at)
