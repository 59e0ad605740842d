"""From `.delay` to the first line of the task, on a worker that has nothing else to do."""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from statistics import median, quantiles

from benchmarks import raw
from benchmarks.enqueue import empty
from benchmarks.figures import Figure
from benchmarks.places import folder, url, worker
from benchmarks.tasks import STAMP
from penstock import Penstock
from penstock.brokers.sqlite.broker import SqliteBroker
from penstock.stores import sqlite

_PER_SECOND = 50


def run(quick: bool) -> list[Figure]:
    """Jobs at 50 a second; raw is the two commits of one row that lie between, one in and one to claim."""
    jobs = 100 if quick else 300
    waits: list[list[float]] = []
    commits: list[float] = []
    with folder() as place:
        for _ in range(1 if quick else 3):
            waits.append(_waits(place, jobs))
            commits.append(_two_commits(place, jobs))
    halves = [median(each) for each in waits]
    tails = [quantiles(each, n=100)[98] for each in waits]
    what = f"enqueue to start, idle worker, {jobs} jobs at {_PER_SECOND}/s"
    return [_figure(f"{what}, p50", halves, commits, 2), _figure(f"{what}, p99", tails, commits, 10)]


def _figure(what: str, ours: list[float], raw: list[float], limit: float) -> Figure:
    ratios = [mine / bare for mine, bare in zip(ours, raw, strict=True)]
    return Figure(
        what, "ms", median(ours), min(ours), max(ours), median(raw), median(ratios), min(ratios), max(ratios),
        f"< {limit:g} ms", median(ours) < limit,
    )  # fmt: skip


def _waits(place: Path, jobs: int) -> list[float]:
    """Milliseconds from the call of `.delay` to the start of the job."""
    return waits(url(empty(place / "queue.db")), place / "stamps", jobs)


def waits(queue: str, stamps: Path, jobs: int) -> list[float]:
    """The same for a queue's URL."""
    stamps.write_bytes(bytes(STAMP.size * (jobs + 1)))
    with closing(Penstock(queue)) as app, worker(queue, "-c", "2", stamps=stamps):
        task = app.task(name="benchmarks.tasks.stamp")(_stamp)
        return paced(task.delay, stamps, jobs)


def paced(send: Callable[[int], object], stamps: Path, jobs: int) -> list[float]:
    """Milliseconds from the call of `send` to a number's stamp, of so many numbers, one after the other; once another has shown that somebody takes them."""
    with stamps.open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        send(jobs)
        until_stamped(memory, jobs)
        time.sleep(1)
        sent: list[float] = []
        first = time.monotonic()
        for number in range(jobs):
            time.sleep(max(0.0, first + number / _PER_SECOND - time.monotonic()))
            sent.append(time.monotonic())
            send(number)
        until_stamped(memory, jobs - 1)
        started = [STAMP.unpack_from(memory, number * STAMP.size)[0] for number in range(jobs)]
    return [(start - at) * 1000 for start, at in zip(started, sent, strict=True)]


def until_stamped(memory: mmap.mmap, number: int) -> None:
    """Wait for a job's start; not every broker tells the end of one that returns nothing."""
    deadline = time.monotonic() + 30
    while not STAMP.unpack_from(memory, number * STAMP.size)[0]:
        if time.monotonic() > deadline:
            raise SystemExit("a job did not start within 30 s")
        time.sleep(0.001)


def _stamp(number: int) -> None:
    """Stands for the task of that name that the worker runs."""
    raise AssertionError(os.getpid())


def _two_commits(place: Path, jobs: int) -> float:
    """Milliseconds that an insert and a claim of one row take, at the same pace; the median."""
    took: list[float] = []
    with closing(SqliteBroker(url(empty(place / "raw.db")))) as broker:
        broker.open()
    with closing(sqlite.connect(str(place / "raw.db"))) as connection:
        claiming = raw.claims(connection, 1)
        for _ in range(jobs):
            time.sleep(1 / _PER_SECOND)
            began = time.monotonic()
            raw.insert(connection, 1, 1)
            next(claiming)
            took.append((time.monotonic() - began) * 1000)
    return median(took)
