"""What a worker costs that has nothing to do."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.enqueue import empty
from benchmarks.figures import Figure, alone
from benchmarks.places import folder, url, worker
from benchmarks.stores import stores
from penstock.worker.memory import proportional

_SETTLE = 3.0
#: What a process imports to reach a store, before anything of Penstock.
_DRIVERS = {
    "SQLite": "sqlite3",
    "PostgreSQL": "psycopg",
    "MongoDB": "pymongo",
    "Redis": "redis",
    "RabbitMQ": "pika, sqlite3",
}


def run(quick: bool) -> list[Figure]:
    """The CPU and memory of `penstock worker -c 2`, all three processes, on every store; raw is as many bare interpreters with its driver."""
    with folder() as place:
        figures = _measured("SQLite", url(empty(place / "queue.db")), quick)
    with stores() as kinds:
        for store in kinds:
            figures += _measured(store.name, store.new(), quick)
    return figures


def _measured(name: str, queue: str, quick: bool) -> list[Figure]:
    seconds = 5 if quick else 10
    shares: list[float] = []
    with worker(queue, "-c", "2") as process:
        while len(pids := [process.pid, *children(process.pid)]) < 3:
            time.sleep(0.1)
        time.sleep(_SETTLE)
        for _ in range(1 if quick else 3):
            before = cpu(pids)
            time.sleep(seconds)
            shares.append((cpu(pids) - before) / seconds * 100)
        size = sum(map(pss, pids))
    bare = _bare(len(pids), _DRIVERS[name])
    what = f"{name}: idle worker, {len(pids)} processes"
    memory = alone(f"{what}: PSS", "MB", [size], "< 60 MB", lambda size: size < 60)
    return [
        alone(f"{what}: CPU over {seconds} s", "% of a core", shares, "< 0.5 %", lambda percent: percent < 0.5),
        msgspec.structs.replace(memory, raw=bare, ratio=size / bare, ratio_low=size / bare, ratio_high=size / bare),
    ]


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def family(pid: int) -> list[int]:
    """A process and all that it has started, and they in turn."""
    return [pid, *(each for child in children(pid) for each in family(child))]


def cpu(pids: Sequence[int]) -> float:
    """Seconds on a core so far, of all threads; the kernel counts them in nanoseconds."""
    threads = (thread for pid in pids for thread in Path(f"/proc/{pid}/task").iterdir())
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


def pss(pid: int) -> float:
    """Megabytes, shared pages divided among those that share them."""
    if not (found := proportional([pid])):
        raise SystemExit(f"no Pss for process {pid}")
    return found / (1 << 20)


def _bare(count: int, drivers: str) -> float:
    command = [sys.executable, "-c", f"import {drivers}, sys; print(flush=True); sys.stdin.read()"]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(count)]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    size = sum(pss(process.pid) for process in processes)
    for process in processes:
        process.communicate()
    return size
